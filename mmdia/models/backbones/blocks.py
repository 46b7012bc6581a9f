"""Residual blocks that offer their two halves instead of the sum."""

from typing import Optional

import torch
from mmcv.cnn import build_activation_layer, build_conv_layer, build_norm_layer
from mmcv.cnn.bricks import DropPath
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..utils import checkpoint_module


class ResidualBlock(BaseModule):
    """Base of residual blocks: a branch, a shortcut, and nothing that joins them.

    Subclasses list their convolutions. Every convolution is followed by a
    norm, every norm but the last by the activation. Names are torchvision's:
    ``conv1, bn1, conv2, ..., downsample.0, downsample.1``.

    Args:
        in_channels (int): Input channels.
        out_channels (int): Output channels.
        stride (int): Stride of the block. Defaults to 1.
        dilation (int): Dilation of the 3x3 convolution. Defaults to 1.
        style (str): ``'pytorch'`` or ``'caffe'``: whether a bottleneck has its
            stride in the 3x3 or in the first 1x1 convolution.
            Defaults to ``'pytorch'``.
        with_cp (bool): Whether to compute the branch again in the backward
            pass instead of keeping its activations. Defaults to False.
        conv_cfg (dict, optional): Config of convolutions. Defaults to None.
        norm_cfg (dict): Config of norms. Defaults to ``dict(type='BN')``.
        act_cfg (dict): Config of activations.
            Defaults to ``dict(type='ReLU', inplace=True)``.
        drop_path_rate (float): Probability to drop the branch of a sample in
            training. Defaults to 0.
        zero_init_residual (bool): Whether the last norm starts with weight 0.
            Defaults to False.
    """

    expansion = 1

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        dilation: int = 1,
        style: str = 'pytorch',
        with_cp: bool = False,
        conv_cfg: Optional[dict] = None,
        norm_cfg: dict = dict(type='BN'),
        act_cfg: dict = dict(type='ReLU', inplace=True),
        drop_path_rate: float = 0.0,
        zero_init_residual: bool = False,
    ) -> None:
        super().__init__()
        self.with_cp = with_cp
        self.conv_cfg = conv_cfg
        self.norm_cfg = norm_cfg
        self.norm_names = []
        self.add_convs(in_channels, out_channels, stride, dilation, style)
        self.act = build_activation_layer(act_cfg)
        self.drop_path = DropPath(drop_path_rate) if drop_path_rate else nn.Identity()
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                build_conv_layer(conv_cfg, in_channels, out_channels, 1, stride=stride, bias=False),
                build_norm_layer(norm_cfg, out_channels)[1],
            )
        if zero_init_residual:
            # As a config, it takes effect before pretrained weights are loaded.
            self.init_cfg = dict(type='Constant', val=0, override=dict(name=self.norm_names[-1]))

    def add_convs(
        self, in_channels: int, out_channels: int, stride: int, dilation: int, style: str
    ) -> None:
        """Add the convolutions of the branch by :meth:`add_conv`."""
        raise NotImplementedError

    def add_conv(self, in_channels: int, out_channels: int, kernel_size: int, **kwargs) -> None:
        """Add the next convolution of the branch and its norm."""
        index = len(self.norm_names) + 1
        conv = build_conv_layer(
            self.conv_cfg, in_channels, out_channels, kernel_size, bias=False, **kwargs
        )
        name, norm = build_norm_layer(self.norm_cfg, out_channels, postfix=index)
        self.add_module(f'conv{index}', conv)
        self.add_module(name, norm)
        self.norm_names.append(name)

    def shortcut(self, x: Tensor) -> Tensor:
        """The identity, or its projection to the output's shape.

        Args:
            x (Tensor): Input of shape (N, C_in, H, W).

        Returns:
            Tensor: Output of shape (N, C_out, H // stride, W // stride),
            rounded up.
        """
        return x if self.downsample is None else self.downsample(x)

    def branch(self, x: Tensor) -> Tensor:
        """The residual branch up to its last norm, without activation.

        Args:
            x (Tensor): Input of shape (N, C_in, H, W).

        Returns:
            Tensor: Output of the shape of :meth:`shortcut`'s.
        """
        if self.with_cp and torch.is_grad_enabled():
            return checkpoint_module(self, self._branch, x)
        return self._branch(x)

    def _branch(self, x: Tensor) -> Tensor:
        for index, norm_name in enumerate(self.norm_names, 1):
            if index > 1:
                x = self.act(x)
            x = getattr(self, f'conv{index}')(x)
            x = getattr(self, norm_name)(x)
        return self.drop_path(x)


class BasicBlock(ResidualBlock):
    """Two 3x3 convolutions; see :class:`ResidualBlock`.

    Source: He et al., `Deep Residual Learning for Image Recognition
    <https://arxiv.org/abs/1512.03385>`_, Fig. 5, left.
    """

    def add_convs(
        self, in_channels: int, out_channels: int, stride: int, dilation: int, style: str
    ) -> None:
        """See :meth:`ResidualBlock.add_convs`."""
        self.add_conv(
            in_channels, out_channels, 3, stride=stride, padding=dilation, dilation=dilation
        )
        self.add_conv(out_channels, out_channels, 3, padding=1)


class Bottleneck(ResidualBlock):
    """1x1, 3x3 and 1x1 convolutions; see :class:`ResidualBlock`.

    Source: He et al., `Deep Residual Learning for Image Recognition
    <https://arxiv.org/abs/1512.03385>`_, Fig. 5, right.
    """

    expansion = 4

    def add_convs(
        self, in_channels: int, out_channels: int, stride: int, dilation: int, style: str
    ) -> None:
        """See :meth:`ResidualBlock.add_convs`."""
        mid_channels = out_channels // self.expansion
        first, second = (1, stride) if style == 'pytorch' else (stride, 1)
        self.add_conv(in_channels, mid_channels, 1, stride=first)
        self.add_conv(
            mid_channels, mid_channels, 3, stride=second, padding=dilation, dilation=dilation
        )
        self.add_conv(mid_channels, out_channels, 1)
