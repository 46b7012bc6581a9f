"""Whether the data of a config are there, before its model is built."""

import os
from typing import Any, Iterator, Optional, Tuple

from mmengine.config import Config

# The types of the configs here that read files and do not download them. Others may find, draw
# or download theirs, and are not checked.
CHECKED = ('CustomDataset', 'ImageNet', 'CocoDataset', 'CocoMetric')


def check_data(cfg: Config, *parts: str) -> None:
    """Stop if a config needs data that are not on disk.

    Args:
        cfg (Config): The config.
        *parts (str): What of the config will run: ``'train'``, ``'val'``,
            ``'test'``.

    Raises:
        SystemExit: If data are missing, with a message that names the path and
            the entry of the config that asks for it.
    """
    for part in parts:
        for name in (f'{part}_dataloader', f'{part}_evaluator'):
            for key, reader in inner_datasets(cfg.get(name), name):
                missing = missing_path(reader)
                if missing:
                    raise SystemExit(
                        f'{key}.{missing[0]}: {missing[1]} does not exist; '
                        'see docs/datasets.md for the layout'
                    )


def inner_datasets(cfg: Any, key: str) -> Iterator[Tuple[str, dict]]:
    """Yield the keys and configs of the datasets within loaders and wrappers.

    Args:
        cfg (dict | list, optional): Config of a data loader, of datasets or of
            metrics.
        key (str): Where it stands.

    Yields:
        tuple: Where a config that wraps no other stands, and the config.
    """
    if isinstance(cfg, (list, tuple)):
        for i, part in enumerate(cfg):
            yield from inner_datasets(part, f'{key}.{i}')
    elif isinstance(cfg, dict):
        wrapped = [name for name in ('dataset', 'datasets') if name in cfg]
        for name in wrapped:
            yield from inner_datasets(cfg[name], f'{key}.{name}')
        if not wrapped:
            yield key, cfg


def missing_path(reader: dict) -> Optional[Tuple[str, str]]:
    """The entry of a dataset or metric, and the path, that is missing; None if there is none.

    A dataset stands and falls with its annotation file or, where it has none,
    with its folder of images.
    """
    if str(reader.get('type')).split('.')[-1] not in CHECKED or reader.get('backend_args'):
        return None
    root = reader.get('data_root') or ''
    prefix = reader.get('data_prefix')
    entry, path = 'data_prefix', prefix if isinstance(prefix, str) else ''
    if reader.get('ann_file'):
        entry, path = 'ann_file', reader['ann_file']
    path = os.path.join(root, os.path.expanduser(path))
    if not path or '://' in path or os.path.exists(path):
        return None
    if path.startswith(root) and root and not os.path.exists(root):
        return 'data_root', root
    return entry, path
