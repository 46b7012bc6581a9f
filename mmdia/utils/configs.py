"""Configs: which there are, and what they are for."""

from pathlib import Path
from typing import Dict, Mapping

from mmengine.config import Config
from mmengine.utils import get_object_from_string

# Where the package keeps its configs, installed or not.
CONFIGS = Path(__file__).parents[1] / '.mim' / 'configs'
# Whose models the tools know. Those of MMRotate are detectors of MMDetection.
LIBRARIES = ('mmpretrain', 'mmdet', 'mmrotate', 'mmseg')


def named_configs() -> Dict[str, Path]:
    """The configs of this package by their names, those of their files."""
    return {path.stem: path for path in sorted(CONFIGS.glob('[!_]*/*.py'))}


def part_of(cfg: Mapping, name: str) -> dict:
    """A dict in a config; an empty one where there is none."""
    part = cfg.get(name)
    return part if isinstance(part, dict) else {}


def library_of(cfg: Config) -> str:
    """The library of a config's model, such as ``'mmdet'``.

    The ``default_scope`` says so; where a config gives classes instead of names,
    it needs none, and the class of the model does.
    """
    kind = part_of(cfg, 'model').get('type')
    if isinstance(kind, str) and '.' in kind:
        kind = get_object_from_string(kind)  # how MMEngine dumps a class
    if isinstance(kind, type):
        packages = [base.__module__.partition('.')[0] for base in kind.__mro__]
        return next((name for name in packages if name in LIBRARIES), 'mmpretrain')
    return cfg.get('default_scope') or 'mmpretrain'


def is_detection(cfg: Config) -> bool:
    """Whether a config is of a detector, one of MMDetection or MMRotate."""
    return library_of(cfg) in ('mmdet', 'mmrotate')


def is_segmentation(cfg: Config) -> bool:
    """Whether a config is of a semantic segmentation network, one of MMSegmentation."""
    return library_of(cfg) == 'mmseg'


def scope_of(cfg: Config) -> str:
    """The default scope of a config, or that of the library whose classes it gives."""
    return cfg.get('default_scope') or library_of(cfg)
