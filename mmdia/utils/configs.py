"""Configs: which there are, what they are for, and what they replace."""

import re
from pathlib import Path
from typing import Dict, Mapping

from mmengine.config import Config

# Where the package keeps its configs, installed or not.
CONFIGS = Path(__file__).parents[1] / '.mim' / 'configs'
# What the types of other libraries stand for, which is lost where a config replaces them.
REPLACED = dict(
    ResNet_CIFAR=('small_stem',),
    ResNetV1c=('deep_stem',),
    ResNetV1d=('deep_stem', 'avg_down'),
    ResNeXt=('groups',),
    SEResNet=('interaction',),
    SEResNeXt=('groups', 'interaction'),
)
# Whose models the tools know. Those of MMRotate are detectors of MMDetection.
LIBRARIES = ('mmpretrain', 'mmdet', 'mmrotate', 'mmseg')
OUR_RESNETS = ('mmdia.ResNet', 'mmdia.DIAResNet', 'mmdia.DLAResNet', 'mmdia.RLAResNet')


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


def check_replaced(cfg: Config) -> None:
    """Check that a backbone of ours is the same network as the one that it replaces.

    Raises:
        ValueError: If what was said by the type that it replaces is said nowhere.
    """
    backbone = part_of(part_of(cfg, 'model'), 'backbone')
    kind, text = backbone.get('type'), cfg.text or ''
    if kind not in OUR_RESNETS or re.search(r'_delete_=True,\s*type=.mmdia\.', text):
        return
    known = {*backbone, *(() if kind == 'mmdia.ResNet' else ('interaction',))}
    # The text of a config has that of all from which it inherits.
    for name in re.findall(r'backbone=dict\(\s*type=[\'"](?:mm\w+\.)?(\w+)[\'"]', text):
        missing = [argument for argument in REPLACED.get(name, ()) if argument not in known]
        if missing:
            raise ValueError(
                f"{kind} in the place of {name} is another network: write type='mmdia.{name}' "
                f'for the backbone, or say its {" and ".join(missing)}'
            )
