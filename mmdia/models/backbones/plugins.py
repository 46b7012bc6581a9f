"""Plugins: further layers in the branches of blocks, as MMDetection has them."""

from typing import List, Optional, Sequence, Tuple

from mmcv.cnn import build_plugin_layer
from torch import nn

from mmdia.utils import check_bools, check_choice
from mmdia.utils.validation import is_sequence, refuse

from ..utils.layers import naming

POSITIONS = ('after_conv1', 'after_conv2', 'after_conv3')
WHAT = 'a sequence of dicts with cfg, position and, for some stages only, stages'


def check_plugins(plugins: Optional[Sequence[dict]], num_stages: int) -> None:
    """Check the argument ``plugins`` of a network.

    Args:
        plugins (Sequence[dict], optional): The plugins. Each has ``cfg``, the
            config of the layer; ``position``, one of ``'after_conv1'``,
            ``'after_conv2'`` and ``'after_conv3'``; and it may have
            ``stages``, one truth value per stage.
        num_stages (int): Number of stages.

    Raises:
        TypeError: If an entry is of a wrong type.
        ValueError: If an entry has a value that is not allowed.
    """
    if plugins is None:
        return
    if not is_sequence(plugins) or not all(isinstance(plugin, dict) for plugin in plugins):
        refuse(TypeError, 'plugins', WHAT, plugins)
    for plugin in plugins:
        if not {'cfg', 'position'} <= set(plugin) <= {'cfg', 'position', 'stages'}:
            refuse(ValueError, 'plugins', WHAT, plugins)
        if not isinstance(plugin['cfg'], dict) or 'type' not in plugin['cfg']:
            refuse(TypeError, 'cfg of a plugin', 'the config of a layer', plugin['cfg'])
        check_choice('position of a plugin', plugin['position'], POSITIONS)
        if plugin.get('stages') is not None:
            check_bools('stages of a plugin', plugin['stages'], num_stages)


def plugins_of_stage(plugins: Optional[Sequence[dict]], stage: int) -> List[dict]:
    """The plugins that a stage has."""
    return [
        plugin
        for plugin in plugins or ()
        if plugin.get('stages') is None or plugin['stages'][stage]
    ]


def build_plugin(cfg: dict, channels: int) -> Tuple[str, nn.Module]:
    """Build a plugin.

    Args:
        cfg (dict): Its config. A ``postfix`` tells layers of one type apart.
        channels (int): Output channels of the convolution that it follows.

    Returns:
        Tuple[str, nn.Module]: Name of the layer, and the layer.

    Raises:
        ValueError: If it cannot be built.
    """
    args = dict(cfg)
    with naming('cfg of a plugin', cfg, f'a layer for {channels} channels'):
        return build_plugin_layer(args, postfix=args.pop('postfix', ''), in_channels=channels)
