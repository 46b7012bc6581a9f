"""Geometric shapes in COCO format, drawn on first use."""

import os
import shutil
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple, Union

import cv2
import numpy as np
from filelock import FileLock
from mmdet.datasets import CocoDataset
from mmengine.fileio import dump, load
from pycocotools import mask as mask_utils

from mmdia.registry import DATASETS
from mmdia.utils import check_choice, check_int, check_ints, check_type

CLASSES = ('circle', 'rectangle', 'triangle')
SPLITS = ('train', 'val', 'test')
MIN_SIZE = 32
# Part of the name of a folder: raise it when the same arguments give other pictures.
VERSION = 1


@DATASETS.register_module()
class ShapesDataset(CocoDataset):
    """Circles, rectangles and triangles on noise, with exact boxes and masks.

    The images are drawn on first use and kept in a folder in COCO format:
    ``{data_root}/{split}_n{num_images}_{H}x{W}_seed{seed}_v{VERSION}/`` with
    ``annotations.json`` and ``images/``. The same arguments always give the
    same images, and the splits share none. A folder appears complete or not at
    all, also with several processes at work, and one that was damaged later is
    drawn anew.

    A shape may hide up to half of another. Masks (run-length encoded) hold the
    visible pixels, boxes are the tight boxes of the masks.

    ``CocoMetric`` can do without ``ann_file`` if the test pipeline packs
    ``'instances'`` among its ``meta_keys``. It then takes the area of a box for
    the area of an object: mAP, mAP_50 and mAP_75 are the same, mAP_s, mAP_m and
    mAP_l are not. Give it the ``ann_file`` of this dataset to have those too.

    Args:
        split (str): ``'train'``, ``'val'`` or ``'test'``. Defaults to
            ``'train'``.
        num_images (int): The number of images, at least 1. Defaults to 200.
        image_size (int | Sequence[int]): Height and width of the images in
            pixels, or one number for both, at least 32. Defaults to 128.
        seed (int): The seed of the drawing, not negative. Defaults to 0.
        data_root (str, optional): The folder that keeps the drawn folders.
            Defaults to ``mmdia/shapes`` in ``$XDG_CACHE_HOME``, or ``~/.cache``
            where that is not set.
        **kwargs: Other arguments of :class:`mmdet.datasets.CocoDataset`, such
            as ``pipeline``, ``filter_cfg``, ``indices`` and ``test_mode``.

    Raises:
        ValueError: If an argument has a value that is not allowed.
        TypeError: If ``num_images``, ``image_size`` or ``seed`` is no integer.
    """

    METAINFO = {
        'classes': CLASSES,
        'palette': [(220, 20, 60), (30, 144, 255), (50, 205, 50)],
    }

    def __init__(
        self,
        split: str = 'train',
        num_images: int = 200,
        image_size: Union[int, Sequence[int]] = 128,
        seed: int = 0,
        data_root: Optional[str] = None,
        **kwargs,
    ):
        check_choice('split', split, SPLITS)
        check_int('num_images', num_images, maximum=10**6)
        check_int('seed', seed, minimum=0, maximum=2**32 - 1)
        check_type('data_root', data_root, str, Path, type(None))
        self.split = split
        self.num_images = num_images
        self.image_size = _checked_size(image_size)
        self.seed = seed
        height, width = self.image_size
        name = f'{split}_n{num_images}_{height}x{width}_seed{seed}_v{VERSION}'
        root = default_root() if data_root is None else Path(data_root).expanduser()
        super().__init__(
            ann_file='annotations.json',
            data_root=str(root / name),
            data_prefix={'img': 'images'},
            **kwargs,
        )

    def load_data_list(self) -> List[dict]:
        """Draw the images if they are not there yet, and load their annotations."""
        folder = Path(self.data_root)
        if not is_complete(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f'{folder}.lock'):
                if not is_complete(folder):  # another process may have been first
                    self._write(folder)
        return super().load_data_list()

    def _write(self, folder: Path) -> None:
        """Draw all images beside ``folder``, then put them in its place."""
        partial = folder.with_name(f'{folder.name}.partial')
        shutil.rmtree(partial, ignore_errors=True)
        (partial / 'images').mkdir(parents=True)
        categories = [{'id': i, 'name': name} for i, name in enumerate(CLASSES)]
        coco = {'images': [], 'annotations': [], 'categories': categories}
        for image_id in range(self.num_images):
            rng = np.random.default_rng([self.seed, SPLITS.index(self.split), image_id])
            image, masks, labels = draw_image(rng, *self.image_size)
            path = partial / 'images' / f'{image_id:06d}.png'
            if not cv2.imwrite(str(path), image):
                raise OSError(f'could not write {path}')
            coco['images'].append(_image_info(image_id, path, image))
            first_id = len(coco['annotations']) + 1  # COCO counts annotations from 1
            coco['annotations'] += [
                {'id': i, 'image_id': image_id, 'category_id': label, **_outline(mask)}
                for i, (mask, label) in enumerate(zip(masks, labels, strict=True), first_id)
            ]
        dump(coco, partial / 'annotations.json')
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(partial, folder)


def default_root() -> Path:
    """The folder for drawn images in the user's cache."""
    cache = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
    return Path(cache).expanduser() / 'mmdia' / 'shapes'


def is_complete(folder: Path) -> bool:
    """Whether a drawn folder holds all its files, each with all its bytes."""
    try:
        images = load(folder / 'annotations.json')['images']
        return all(
            (folder / 'images' / image['file_name']).stat().st_size == image['bytes']
            for image in images
        )
    except (OSError, ValueError, KeyError, TypeError):  # missing, or not the JSON that was written
        return False


def draw_image(
    rng: np.random.Generator, height: int, width: int
) -> Tuple[np.ndarray, List[np.ndarray], List[int]]:
    """Draw one to four shapes on a noisy ground.

    Args:
        rng (np.random.Generator): The source of all chance.
        height (int): Height of the image in pixels.
        width (int): Width of the image in pixels.

    Returns:
        tuple: The image, (H, W, 3) uint8; the visible mask of each shape, (H, W)
        uint8 of 0 and 1; the category of each shape.
    """
    image = _noise(rng, height, width) + rng.uniform(40, 215, size=3)
    masks, labels, areas = [], [], []
    for _ in range(rng.integers(1, 5)):
        label = int(rng.integers(len(CLASSES)))
        mask = _draw_shape(rng, CLASSES[label], height, width)
        visible = [other & (1 - mask) for other in masks]
        if any(2 * v.sum() < area for v, area in zip(visible, areas, strict=True)):
            continue
        ground = image[mask == 1].mean(axis=0)
        colour = (ground + rng.uniform(60, 195, size=3)) % 255
        image[mask == 1] = (colour + _noise(rng, height, width) / 2)[mask == 1]
        masks, labels, areas = [*visible, mask], [*labels, label], [*areas, mask.sum()]
    return image.clip(0, 255).round().astype(np.uint8), masks, labels


def _noise(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Noise of a coarse and of a fine grain, (H, W, 3) with mean about 0."""
    coarse = rng.normal(0, 25, size=(8, 8, 3))
    return cv2.resize(coarse, (width, height)) + rng.normal(0, 10, size=(height, width, 3))


def _draw_shape(rng: np.random.Generator, name: str, height: int, width: int) -> np.ndarray:
    """The mask of a shape of any size and turn that lies within the image."""
    radius = min(height, width) * rng.uniform(0.1, 0.25)
    centre = rng.uniform(radius, [width - radius, height - radius])
    mask = np.zeros((height, width), dtype=np.uint8)
    if name == 'circle':
        return cv2.circle(mask, centre.astype(int).tolist(), int(radius), 1, thickness=-1)
    if name == 'rectangle':
        half = rng.uniform(0.5, 1.1)  # half the angle between the diagonals
        corners = np.array([-half, half, np.pi - half, np.pi + half])
    else:
        corners = np.arange(3) * 2 * np.pi / 3 + rng.uniform(-0.25, 0.25, size=3)
    turn = corners + rng.uniform(0, 2 * np.pi)
    points = centre + radius * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    return cv2.fillPoly(mask, [points.astype(np.int32)], 1)


def _image_info(image_id: int, path: Path, image: np.ndarray) -> dict:
    """COCO's entry of an image, and the size of its file to tell if it is whole."""
    height, width = image.shape[:2]
    size = path.stat().st_size
    return {'id': image_id, 'file_name': path.name, 'height': height, 'width': width, 'bytes': size}


def _outline(mask: np.ndarray) -> Dict[str, object]:
    """Box, area and segmentation of a mask in the terms of COCO."""
    rle = mask_utils.encode(np.asfortranarray(mask))
    return {
        'bbox': mask_utils.toBbox(rle).tolist(),
        'area': int(mask_utils.area(rle)),
        'segmentation': {'size': list(mask.shape), 'counts': rle['counts'].decode()},
        'iscrowd': 0,
    }


def _checked_size(value: Union[int, Sequence[int]]) -> Tuple[int, int]:
    """Height and width from one number or two."""
    if isinstance(value, (list, tuple)):
        check_ints('image_size', value, length=2, minimum=MIN_SIZE)
        return tuple(value)
    check_int('image_size', value, MIN_SIZE)
    return value, value
