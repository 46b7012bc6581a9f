"""What precedes the stages of a residual network."""

from typing import Dict, Optional

from mmcv.cnn import ConvModule
from torch import nn

from ..utils import build_activation_layer, build_conv_layer, build_norm_layer
from ..utils.layers import naming


def build_stem(
    kind: str,
    in_channels: int,
    channels: int,
    conv_cfg: Optional[dict],
    norm_cfg: Optional[dict],
    act_cfg: Optional[dict],
) -> Dict[str, nn.Module]:
    """Build the modules of a stem.

    Args:
        kind (str): ``'large'``, a 7x7 convolution and pooling, both of stride
            2; ``'deep'``, the same with three 3x3 convolutions, the first two
            half as wide; ``'small'``, one 3x3 convolution of stride 1.
        in_channels (int): Channels of the image.
        channels (int): Output channels.
        conv_cfg (dict, optional): Config of convolutions.
        norm_cfg (dict, optional): Config of norms; None for none.
        act_cfg (dict, optional): Config of activations; None for none.

    Returns:
        Dict[str, nn.Module]: The modules in the order in which they are
        applied, by the names that torchvision, or MMPretrain for the deep
        stem, gives them.
    """
    if kind == 'deep':
        widths = (in_channels, max(channels // 2, 1), max(channels // 2, 1), channels)
        convs = (
            ConvModule(
                widths[i],
                widths[i + 1],
                3,
                stride=2 if i == 0 else 1,
                padding=1,
                bias=False,
                conv_cfg=conv_cfg,
                norm_cfg=norm_cfg,
                act_cfg=act_cfg,
            )
            for i in range(3)
        )
        with naming(
            'conv_cfg, norm_cfg and act_cfg',
            (conv_cfg, norm_cfg, act_cfg),
            'a convolution, a norm and an activation',
        ):
            modules = dict(stem=nn.Sequential(*convs))
    else:
        kernel_size, stride = (3, 1) if kind == 'small' else (7, 2)
        conv = build_conv_layer(
            conv_cfg,
            in_channels,
            channels,
            kernel_size,
            stride=stride,
            padding=kernel_size // 2,
            bias=False,
        )
        modules = dict(conv1=conv)
        if norm_cfg is not None:
            name, norm = build_norm_layer(norm_cfg, channels, postfix=1)
            modules[name] = norm
        if act_cfg is not None:
            modules['act'] = build_activation_layer(act_cfg)
    if kind != 'small':
        modules['maxpool'] = nn.MaxPool2d(3, stride=2, padding=1)
    return modules
