"""Configs: which there are, and what they are for."""

from pathlib import Path
from typing import Dict

from mmengine.config import Config

# Where the package keeps its configs, installed or not.
CONFIGS = Path(__file__).parents[1] / '.mim' / 'configs'


def named_configs() -> Dict[str, Path]:
    """The configs of this package by their names, those of their files."""
    return {path.stem: path for path in sorted(CONFIGS.glob('[!_]*/*.py'))}


def is_detection(cfg: Config) -> bool:
    """Whether a config is one of MMDetection, rather than of MMPretrain."""
    return cfg.get('default_scope') == 'mmdet'
