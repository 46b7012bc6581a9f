"""Whether the files of a config's datasets are there, before its model is built.

What cannot run without its files is refused, and nothing else: datasets that
are not known here may find, draw or download theirs.
"""

import os
import re
from typing import Dict, Iterator, Optional, Tuple

from mmengine.config import Config

# Those that find all their files in data_root.
ROOTED = {
    f'mmpretrain.{name}'
    for name in (
        'CUB',
        'Caltech101',
        'DTD',
        'FGVCAircraft',
        'Flowers102',
        'Food101',
        'OxfordIIITPet',
        'StanfordCars',
        'SUN397',
    )
}
# Those that download themselves, unless told not to.
DOWNLOADED = {f'mmpretrain.{name}' for name in ('CIFAR10', 'CIFAR100', 'MNIST', 'FashionMNIST')}
# Those with defaults for ann_file and data_prefix that depend on the split.
IMAGENET = {'mmpretrain.ImageNet', 'mmpretrain.ImageNet21k'}
# Those that join data_root with ann_file and with data_prefix.
JOINED = {
    *IMAGENET,
    *DOWNLOADED,
    'mmpretrain.CustomDataset',
    'mmpretrain.MultiLabelDataset',
    'mmdet.CityscapesDataset',
    'mmdet.CocoDataset',
    'mmdet.CocoPanopticDataset',
    'mmdet.LVISV05Dataset',
    'mmdet.LVISV1Dataset',
    'mmdet.VOCDataset',
}
# The entries of data_prefix that lead to images.
IMAGE_PREFIXES = ('img', 'img_path', 'sub_data_root')
# An absolute path to an image, in a list of files or in JSON.
ABSOLUTE = re.compile(rb'(^|"(file_name|img|img_path)"\s*:\s*")([A-Za-z]:)?[\\/]', re.MULTILINE)


def check_data(cfg: Config, *parts: str) -> None:
    """Stop if a config needs data that is not on disk.

    Args:
        cfg (Config): The config.
        *parts (str): What of the config will run: ``'train'``, ``'val'``,
            ``'test'``.

    Raises:
        SystemExit: If a file or folder is missing, with a message that names
            it and the entry of the config that asks for it.
    """
    for part in parts:
        for key, path in needed_data(cfg, part):
            if '://' not in path and not os.path.exists(path):
                raise SystemExit(
                    f'{key}: {path} does not exist; see docs/datasets.md for the layout'
                )


def needed_data(cfg: Config, part: str) -> Iterator[Tuple[str, str]]:
    """Yield what must be on disk for a part of a config.

    Args:
        cfg (Config): The config.
        part (str): ``'train'``, ``'val'`` or ``'test'``.

    Yields:
        tuple: The key of an entry of the config, and the path that it leads to.
        Each path is for a caller who found the paths before it.
    """
    scope = cfg.get('default_scope')
    name = f'{part}_dataloader'
    for key, dataset in inner_datasets(cfg.get(name), name):
        for entry, path in needed_by_dataset(dataset, scope):
            yield f'{key}.{entry}', path
    yield from needed_by_evaluator(cfg.get(f'{part}_evaluator'), f'{part}_evaluator', scope)


def inner_datasets(dataset: object, key: str) -> Iterator[Tuple[str, dict]]:
    """Yield the keys and configs of the datasets within loaders and wrappers."""
    if not isinstance(dataset, dict):  # None, or built already
        return
    if 'datasets' in dataset:
        for i, part in enumerate(dataset['datasets']):
            yield from inner_datasets(part, f'{key}.datasets.{i}')
    elif 'dataset' in dataset:
        yield from inner_datasets(dataset['dataset'], f'{key}.dataset')
    else:
        yield key, dataset


def needed_by_dataset(dataset: dict, scope: Optional[str]) -> Iterator[Tuple[str, str]]:
    """Yield the entries of a dataset, with the paths, that must be on disk."""
    name = full_name(dataset, scope)
    root = str(dataset.get('data_root') or '')
    if dataset.get('backend_args') or (name in DOWNLOADED and dataset.get('download', True)):
        return
    if name in ROOTED and root:
        yield 'data_root', root
    if name not in JOINED:
        return
    ann_file = find_ann_file(dataset, name, root)
    if ann_file:
        yield from joined('ann_file', root, ann_file)
    for entry, folder in image_folders(dataset, name).items():
        if not ann_file or must_have_images(dataset, root, folder, ann_file):
            yield from joined(entry, root, folder)


def full_name(cfg: dict, scope: Optional[str]) -> str:
    """The type of a config as ``library.Class``, for each way to write it."""
    cls = cfg.get('type')
    if isinstance(cls, type):
        cls = f'{cls.__module__}.{cls.__name__}'
    first, *rest = str(cls).split('.')
    return f'{first}.{rest[-1]}' if rest else f'{cfg.get("_scope_", scope)}.{first}'


def find_ann_file(dataset: dict, name: str, root: str) -> str:
    """The annotation file of a dataset, or '' for one that lists its folder."""
    ann_file = str(dataset.get('ann_file') or '')
    if name in IMAGENET and dataset.get('split') and not ann_file:
        default = os.path.join('meta', f'{dataset["split"]}.txt')
        return default if os.path.exists(os.path.join(root, default)) else ''
    return os.path.expanduser(ann_file) if name.startswith('mmpretrain.') else ann_file


def image_folders(dataset: dict, name: str) -> Dict[str, str]:
    """The folders of images of a dataset, by their entries in its config."""
    prefix = dataset.get('data_prefix') or ''
    if name in IMAGENET and dataset.get('split') and not prefix:
        return {'split': dataset['split']}
    if isinstance(prefix, str):
        return {'data_prefix': os.path.expanduser(prefix)}
    return {
        f'data_prefix.{key}': prefix[key]
        for key in IMAGE_PREFIXES
        if isinstance(prefix.get(key), str)
    }


def must_have_images(dataset: dict, root: str, folder: str, ann_file: str) -> bool:
    """Whether the images that an annotation file names must lie in a folder."""
    if os.path.exists(os.path.join(root, folder)):
        return True  # and there is no need to read the file
    if not ann_file.endswith(('.json', '.txt')) or '://' in root + ann_file:
        return False
    with open(os.path.join(root, ann_file), 'rb') as file:
        return reads_from_disk(dataset) and ABSOLUTE.search(file.read()) is None


def reads_from_disk(dataset: dict) -> bool:
    """Whether the pipeline of a dataset reads images, and not from elsewhere."""
    steps = [step for step in dataset.get('pipeline') or () if isinstance(step, dict)]
    return any(
        full_name(step, None).endswith('.LoadImageFromFile')
        and not (step.get('backend_args') or step.get('file_client_args'))
        for step in steps
    )


def joined(entry: str, root: str, path: str) -> Iterator[Tuple[str, str]]:
    """Yield data_root, if a path is relative to it, and the full path."""
    if root and not os.path.isabs(path) and '://' not in path:
        yield 'data_root', root
        path = os.path.join(root, path)
    if path:
        yield entry, path


def needed_by_evaluator(
    evaluator: object, key: str, scope: Optional[str]
) -> Iterator[Tuple[str, str]]:
    """Yield the annotation files that the metrics of COCO read when they are built."""
    if isinstance(evaluator, (list, tuple)):
        for i, metric in enumerate(evaluator):
            yield from needed_by_evaluator(metric, f'{key}.{i}', scope)
    elif isinstance(evaluator, dict) and full_name(evaluator, scope) == 'mmdet.CocoMetric':
        if evaluator.get('ann_file') and not evaluator.get('backend_args'):
            yield f'{key}.ann_file', str(evaluator['ann_file'])
