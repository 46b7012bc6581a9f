"""Convert the binary files of STL-10 to a tree of PNG images.

Writes TARGET/{train,test}/<class>/<number>.png, with the number of the image
within its split. Unpack stl10_binary.tar.gz, the official release, into SOURCE.
"""

from pathlib import Path
from typing import List

import cv2
import numpy as np
from trees import new_tree, run

SPLITS = ('train', 'test')
CLASSES = 10
SHAPE = (3, 96, 96)  # channel, column, row


def find_file(source: Path, name: str) -> Path:
    """Find a file of the release in a folder, or in its ``stl10_binary``."""
    for folder in (source, source / 'stl10_binary'):
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(
        f'{name} is neither in {source} nor in {source / "stl10_binary"}: '
        f'unpack stl10_binary.tar.gz there, which has it as stl10_binary/{name}'
    )


def read_classes(source: Path) -> List[str]:
    """Read the names of the classes."""
    path = find_file(source, 'class_names.txt')
    names = [line.strip() for line in path.read_text(encoding='utf-8').splitlines() if line.strip()]
    if not len(names) == len(set(names)) == CLASSES:
        raise ValueError(f'{path} must have {CLASSES} different names, but has {names}')
    return names


def read_images(source: Path, split: str) -> np.ndarray:
    """Map the images of a split, (N, height, width, RGB) uint8, without loading them."""
    path = find_file(source, f'{split}_X.bin')
    size, image_size = path.stat().st_size, int(np.prod(SHAPE))
    if size == 0 or size % image_size:
        raise ValueError(
            f'{path} has {size} bytes, which is not a number of images of {image_size} bytes: '
            'is it complete?'
        )
    images = np.memmap(path, dtype=np.uint8, mode='r').reshape(-1, *SHAPE)
    return images.transpose(0, 3, 2, 1)


def read_labels(source: Path, split: str, count: int) -> np.ndarray:
    """Read the labels of a split, from 0."""
    path = find_file(source, f'{split}_y.bin')
    labels = np.fromfile(path, dtype=np.uint8)
    if len(labels) != count:
        raise ValueError(f'{path} has {len(labels)} labels, but {split}_X.bin has {count} images')
    wrong = labels[(labels < 1) | (labels > CLASSES)]
    if len(wrong):
        raise ValueError(f'{path} has a label {wrong[0]}, but they go from 1 to {CLASSES}')
    return labels.astype(int) - 1


def write_split(folder: Path, images: np.ndarray, labels: np.ndarray, classes: List[str]) -> None:
    """Write the images of a split into a folder for each class."""
    for name in classes:
        (folder / name).mkdir(parents=True)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / classes[label] / f'{i:05d}.png'
        if not cv2.imwrite(str(path), cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2BGR)):
            raise OSError(f'could not write {path}')


def convert(source: Path, target: Path) -> None:
    """Check the release, write all images beside the target and put them in its place."""
    with new_tree(target) as tree:
        classes = read_classes(source)
        images = {split: read_images(source, split) for split in SPLITS}
        labels = {split: read_labels(source, split, len(images[split])) for split in SPLITS}
        for split in SPLITS:
            write_split(tree / split, images[split], labels[split], classes)
            print(f'{split}: {len(images[split])} images in {CLASSES} classes', flush=True)
    print(f'wrote {target.resolve()}')


if __name__ == '__main__':
    run(__doc__, 'folder of train_X.bin, or of stl10_binary/', convert)
