"""What configs are for."""

from mmengine.config import Config


def is_detection(cfg: Config) -> bool:
    """Whether a config is one of MMDetection, rather than of MMPretrain."""
    return cfg.get('default_scope') == 'mmdet'
