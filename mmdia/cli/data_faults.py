"""What can be wrong with a dataset, found through its own methods."""

import math
import os
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, Dict, Iterator, List, Optional, Sequence, Set, Sized, Tuple

import numpy as np
from mmengine import load
from torch import Tensor

# Images looked for on disk, evenly spread. All of a large dataset would take minutes on slow disks.
MAX_IMAGES = 10_000


def inner_datasets(dataset: Any, key: str) -> Iterator[Tuple[str, Any]]:
    """Yield the datasets within wrappers, and where they stand.

    Args:
        dataset (Any): A dataset, such as a ``ConcatDataset`` of others.
        key (str): Where it stands in the config.

    Yields:
        tuple: Where a dataset that wraps no other stands, and the dataset.
    """
    wrapped = getattr(dataset, 'datasets', None)
    if isinstance(wrapped, (list, tuple)):
        for i, part in enumerate(wrapped):
            yield from inner_datasets(part, f'{key}.datasets.{i}')
        return
    inner = getattr(dataset, 'dataset', None) or getattr(dataset, '_dataset', None)
    if isinstance(inner, Sized):
        yield from inner_datasets(inner, f'{key}.dataset')
    else:
        yield key, dataset


def classes_of(dataset: Any) -> Optional[Tuple[str, ...]]:
    """The names of a dataset's classes; None if it has none."""
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    return tuple(classes) if isinstance(classes, (list, tuple)) else None


def names(found: Sequence[str], limit: int = 3) -> str:
    """The first of some names, and how many there are more."""
    more = len(found) - limit
    return ', '.join(map(str, found[:limit])) + (f' and {more} more' if more > 0 else '')


def describe_error(error: Exception) -> str:
    """An error in a line."""
    return f'{type(error).__name__}: {" ".join(str(error).split())[:300]}'


def is_degenerate(instance: Dict[str, Any], sample: Dict[str, Any]) -> bool:
    """Whether the box of an instance has no area within the image of its sample."""
    box = instance.get('bbox')
    if box is None:
        return False
    finite = all(map(math.isfinite, box))
    if not finite or len(box) != 4:  # rotated boxes have other numbers
        return not finite
    x1, y1, x2, y2 = box
    # Tools for labels write 0 for what they do not know.
    width, height = (sample.get(name) or math.inf for name in ('width', 'height'))
    return min(x2, width) <= max(x1, 0) or min(y2, height) <= max(y1, 0)


def labels_of(sample: Dict[str, Any]) -> list:
    """The labels of a sample, of its image or of its boxes."""
    if 'gt_label' in sample:
        label = sample['gt_label']
        if label is None or isinstance(label, dict):  # of several tasks
            return []
        if isinstance(label, (np.ndarray, Tensor)):
            return label.reshape(-1).tolist()
        return list(label) if isinstance(label, (list, tuple)) else [label]
    instances = sample.get('instances') or ()
    # CrowdHuman gives boxes that are ignored no class, but -1.
    kept = (instance for instance in instances if not instance.get('ignore_flag'))
    labels = [instance['bbox_label'] for instance in kept if 'bbox_label' in instance]
    # MMRotate gives images without annotations an instance whose box and label are empty.
    return [label for label in labels if not isinstance(label, list) or label]


def source_of(sample: Dict[str, Any], index: int) -> str:
    """The file of a sample's annotations, else of its image, else its index."""
    path = sample.get('xml_path') or sample.get('img_path')
    return path if isinstance(path, str) else f'sample {index}'


def is_local(reader: Any, path: Any) -> bool:
    """Whether a path is one on disk, for the dataset or the transform that reads it."""
    backend = (getattr(reader, 'backend_args', None) or {}).get('backend', 'local')
    return isinstance(path, str) and '://' not in path and backend in ('local', 'disk')


def loads_segments(transform: Any) -> bool:
    """Whether a transform reads the masks of whole images."""
    name = type(transform).__name__
    return getattr(transform, 'with_seg', name.startswith('Load') and 'Annotation' in name)


@dataclass
class Samples:
    """What a pass over the samples of a dataset finds.

    Args:
        wrong (str): The sample that cannot be read, and why. Defaults to none.
        looked_at (int): Number of images looked for on disk. Defaults to 0.
        bad_images (list[str]): Images that do not exist or are empty.
        labels (set): The labels of samples or boxes.
        bad_labels (list[str]): Labels that are no classes of the model, and their files.
        detection (bool): Whether there are lists of boxes. Defaults to False.
        bad_boxes (list[str]): Boxes of no area, and their files.
    """

    wrong: str = ''
    looked_at: int = 0
    bad_images: List[str] = field(default_factory=list)
    labels: Set[int] = field(default_factory=set)
    bad_labels: List[str] = field(default_factory=list)
    detection: bool = False
    bad_boxes: List[str] = field(default_factory=list)

    def faults(self, num_classes: Optional[int]) -> Iterator[str]:
        """Yield what is wrong in any run, for a model of so many classes."""
        if self.wrong:
            yield self.wrong
        if self.bad_images:
            yield (
                f'{len(self.bad_images)} of the {self.looked_at} images looked for do not exist '
                f'or are empty: {names(self.bad_images)}'
            )
        if self.bad_labels:
            yield (
                f'{len(self.bad_labels)} labels are not among the {num_classes} classes of the '
                f'model, such as {self.bad_labels[0]}'
            )


def look_through(dataset: Any, num_classes: Optional[int] = None) -> Samples:
    """Look at the annotations of all samples of a dataset.

    Args:
        dataset (Any): A dataset with ``get_data_info``.
        num_classes (int, optional): Number of classes that the model tells
            apart. Defaults to None: labels are not compared.

    Returns:
        Samples: What was found, up to the first sample that its libraries do not take.
    """
    found = Samples()
    transforms = getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
    # Masks of whole images are files of their own, those of boxes are among the annotations.
    reads_masks = any(map(loads_segments, transforms))
    images = ('img_path', 'seg_map_path') if reads_masks else ('img_path',)
    # Other transforms take them from elsewhere, such as the files of panoptic segments.
    loaders = [each for each in transforms if type(each).__name__ == 'LoadAnnotations']
    masks = any(getattr(each, 'with_mask', False) for each in loaders)
    step = math.ceil(len(dataset) / MAX_IMAGES) or 1
    for index in range(len(dataset)):
        source = f'sample {index}'
        try:
            sample = dataset.get_data_info(index)
            source = source_of(sample, index)
            for path in map(sample.get, images if index % step == 0 else ()):
                if all(is_local(reader, path) for reader in (dataset, *transforms)):
                    found.looked_at += 1
                    if not (os.path.isfile(path) and os.path.getsize(path)):
                        found.bad_images.append(path)
            look_at_annotations(sample, source, num_classes, found)
            if masks and any('mask' not in instance for instance in sample.get('instances') or ()):
                raise ValueError('a box has no segmentation, and the pipeline loads masks')
        except Exception as error:  # samples are wrong in every way
            found.wrong = f'{source} is annotated wrongly: {describe_error(error)}'
            break
    return found


def look_at_annotations(
    sample: Dict[str, Any], source: str, num_classes: Optional[int], found: Samples
) -> None:
    """Note the labels and boxes of a sample from a file."""
    found.detection |= 'instances' in sample
    labels = labels_of(sample)
    if num_classes is None:  # labels may be anything
        labels = [label for label in labels if isinstance(label, Integral)]
    else:
        wrong = [each for each in labels if not 0 <= each < num_classes or each != int(each)]
        found.bad_labels += [f'{label} in {source}' for label in wrong]
    found.labels.update(map(int, labels))
    for instance in sample.get('instances') or ():
        if is_degenerate(instance, sample):
            found.bad_boxes.append(f'{list(instance["bbox"])} in {source}')


def drop_degenerate_boxes(dataset: Any) -> None:
    """Remove the boxes that have no area from the annotations of a dataset.

    Args:
        dataset (mmengine.dataset.BaseDataset): The dataset, changed in place.
    """
    samples = [dataset.get_data_info(index) for index in range(len(dataset))]
    for sample in samples:
        if sample.get('instances'):
            kept = [box for box in sample['instances'] if not is_degenerate(box, sample)]
            sample['instances'] = kept
    dataset.data_list = samples
    if dataset.serialize_data:
        dataset.data_bytes, dataset.data_address = dataset._serialize_data()


def class_faults(dataset: Any) -> Iterator[str]:
    """Yield what is wrong with how a dataset names and numbers its classes.

    Args:
        dataset (Any): The dataset.
    """
    given = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    if isinstance(given, str):
        yield f'metainfo.classes is the text {given!r}: no such file; write a tuple of names'
    classes = classes_of(dataset)
    if classes is None:
        return
    for name, number in (getattr(dataset, 'folder_to_idx', None) or {}).items():
        if name in classes and classes[number] != name:
            yield (
                f'the folders, in alphabetical order, make {name} class {number}, which '
                f'metainfo.classes names {classes[number]}'
            )
            break
    known = getattr(dataset, 'cat_ids', None)
    if isinstance(known, (list, tuple)) and len(known) < len(classes):
        yield (
            f'has {len(known)} of the {len(classes)} classes of metainfo.classes, which would '
            'number them otherwise; write those of its categories'
        )


def unlike_classes(trained: Any, tested: Any) -> Optional[str]:
    """How the classes of two datasets differ; None if they are the same, or unknown.

    Args:
        trained (Any): The dataset of the training.
        tested (Any): The dataset to evaluate on.
    """
    ours, theirs = classes_of(trained), classes_of(tested)
    folders = [list(getattr(d, 'folder_to_idx', None) or {}) for d in (trained, tested)]
    if all(folders):
        ours, theirs = map(tuple, folders)
    if ours is None or theirs is None:
        return None
    if ours == theirs:
        ids = [list(getattr(d, 'cat_ids', None) or ()) for d in (trained, tested)]
        if ids[0] != ids[1] and sorted(ids[0]) == sorted(ids[1]):
            return 'the categories of the annotation files have another order'
        return None
    return describe_difference(ours, theirs)


def describe_difference(ours: Sequence[str], theirs: Sequence[str]) -> str:
    """How a list of classes differs from that of the training."""
    lacking = [name for name in ours if name not in theirs]
    added = [name for name in theirs if name not in ours]
    parts = [f'lacks {names(lacking)}'] * bool(lacking) + [f'adds {names(added)}'] * bool(added)
    return ' and '.join(parts) or 'has another order'


def order_fault(dataset: Any) -> Optional[str]:
    """How a COCO file numbers the classes of a dataset otherwise; None if it does not.

    Labels follow the order of the categories in the file, names that of ``metainfo.classes``.
    """
    ids, file = getattr(dataset, 'cat_ids', None), getattr(dataset, 'ann_file', None)
    if not ids or not is_local(dataset, file) or not file.endswith('.json'):
        return None
    categories = {each['id']: each['name'] for each in load(file).get('categories', ())}
    numbered = [categories.get(number) for number in ids]
    classes = list(classes_of(dataset) or ())
    if numbered == classes or set(numbered) != set(classes):
        return None
    return f'metainfo.classes has another order than the categories in the file: {tuple(numbered)}'


def metric_faults(metric: Any, dataset: Any) -> Iterator[str]:
    """Yield how the annotation file of a COCO metric does not fit a dataset.

    Args:
        metric (Any): The metric; others than those of COCO files pass.
        dataset (Any): The dataset whose predictions it gets.
    """
    api = getattr(metric, '_coco_api', None)
    classes = classes_of(dataset)
    if api is None or classes is None:
        return
    categories = api.dataset.get('categories', ())
    found = tuple(category['name'] for category in categories if category['name'] in classes)
    if found != classes:
        yield f'its categories differ from the classes: {describe_difference(classes, found)}'
    files = {number: os.path.basename(image['file_name']) for number, image in api.imgs.items()}
    for index in range(len(dataset)):
        sample = dataset.get_data_info(index)
        name = files.get(sample.get('img_id'))
        if name is None or name != os.path.basename(sample['img_path']):
            yield f'has no image {sample.get("img_id")} of the file {sample.get("img_path")}'
            return
    kinds = getattr(metric, 'metrics', ())  # the panoptic metric has none
    needed = ['iscrowd', *['segmentation'] * ('segm' in kinds)]
    numbers = {category['id'] for category in categories if category['name'] in classes}
    for number, annotation in api.anns.items() if kinds else ():
        missing = [key for key in needed if annotation.get(key) in (None, [])]
        if missing and annotation['category_id'] in numbers:
            yield f'its annotation {number} has no {" and no ".join(missing)}'
            return
