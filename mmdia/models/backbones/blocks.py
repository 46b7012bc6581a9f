"""Residual blocks that offer their two halves instead of the sum."""

from typing import Optional, Sequence, Tuple

import torch
from mmcv.cnn.bricks import DropPath
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..ops import normalize_with_recipe
from ..utils import (
    build_activation_layer,
    build_conv_layer,
    build_norm_layer,
    checkpoint_module,
)
from .plugins import POSITIONS, build_plugin


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
        groups (int): Groups of the 3x3 convolution of a bottleneck.
            Defaults to 1.
        mid_channels (int, optional): Width of the 3x3 convolution of a
            bottleneck. Defaults to ``out_channels`` over the expansion.
        style (str): ``'pytorch'`` or ``'caffe'``: whether a bottleneck has its
            stride in the 3x3 or in the first 1x1 convolution.
            Defaults to ``'pytorch'``.
        project (bool): Whether the shortcut is a projection even where it
            changes no shape. Defaults to False.
        avg_down (bool): Whether projections pool instead of striding.
            Defaults to False.
        skip_connections (bool): Whether there is a shortcut; without, it is
            zero. Defaults to True.
        normalize (bool): Whether the branch has norms. Defaults to True.
        normalize_projections (bool): Whether projections have a norm.
            Defaults to True.
        drop_rate (float): Dropout before the last convolution. Defaults to 0.
        drop_path_rate (float): Probability to drop the branch of a sample in
            training. Defaults to 0.
        zero_init_residual (bool): Whether the last norm starts with weight 0.
            Defaults to False.
        with_cp (bool): Whether to compute the branch again in the backward
            pass instead of keeping its activations. Defaults to False.
        conv_cfg (dict, optional): Config of convolutions. Defaults to None.
        norm_cfg (dict): Config of norms. Defaults to ``dict(type='BN')``.
        act_cfg (dict): Config of activations.
            Defaults to ``dict(type='ReLU', inplace=True)``.
        dcn (dict, optional): Config of the 3x3 convolution of a bottleneck,
            where it is a deformable one. Defaults to None.
        plugins (Sequence[dict]): Further layers of the branch; see
            :func:`~.plugins.check_plugins`. Defaults to none.

    Attributes:
        with_recipe (bool): Whether the branch can be computed again from the
            input of its last norm; see :func:`normalize_with_recipe`. Set by
            the backbone where the interaction makes use of it.
        expansion (int): Output channels over the width of the 3x3 convolution.
        preactivation (bool): Whether norm and activation precede convolutions.
    """

    expansion = 1
    preactivation = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        mid_channels: Optional[int] = None,
        style: str = 'pytorch',
        project: bool = False,
        avg_down: bool = False,
        skip_connections: bool = True,
        normalize: bool = True,
        normalize_projections: bool = True,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        zero_init_residual: bool = False,
        with_cp: bool = False,
        conv_cfg: Optional[dict] = None,
        norm_cfg: dict = dict(type='BN'),
        act_cfg: dict = dict(type='ReLU', inplace=True),
        dcn: Optional[dict] = None,
        plugins: Sequence[dict] = (),
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.stride = stride
        self.dilation = dilation
        self.groups = groups
        self.style = style
        self.avg_down = avg_down
        self.skip_connections = skip_connections
        self.normalize = normalize
        self.normalize_projections = normalize_projections
        self.with_cp = with_cp
        self.with_recipe = False
        self.conv_cfg = conv_cfg
        self.norm_cfg = norm_cfg
        self.dcn = dcn
        self.num_convs = 0
        self.norm_names = []
        self.add_convs(in_channels, mid_channels or out_channels // self.expansion, out_channels)
        self.act = build_activation_layer(act_cfg)
        self.dropout = nn.Dropout(drop_rate) if drop_rate else nn.Identity()
        self.drop_path = DropPath(drop_path_rate) if drop_path_rate else nn.Identity()
        self.downsample = None
        if skip_connections and (project or stride != 1 or in_channels != out_channels):
            self.downsample = nn.Sequential(*self.projection(in_channels, out_channels))
        self.plugin_names = self._add_plugins(plugins)
        if zero_init_residual:
            # As a config, it takes effect before pretrained weights are loaded.
            self.init_cfg = dict(type='Constant', val=0, override=dict(name=self.norm_names[-1]))

    def _norm(self, number: int) -> nn.Module:
        if number > len(self.norm_names):
            raise AttributeError(f'this {type(self).__name__} has no norm{number}')
        return getattr(self, self.norm_names[number - 1])

    @property
    def norm1(self) -> nn.Module:
        """The first norm, whatever its kind."""
        return self._norm(1)

    @property
    def norm2(self) -> nn.Module:
        """The second norm, whatever its kind."""
        return self._norm(2)

    @property
    def norm3(self) -> nn.Module:
        """The third norm of a bottleneck, whatever its kind."""
        return self._norm(3)

    def add_convs(self, in_channels: int, mid_channels: int, out_channels: int) -> None:
        """Add the convolutions of the branch by :meth:`add_conv`."""
        raise NotImplementedError

    def add_conv(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        dcn: Optional[dict] = None,
        **kwargs,
    ) -> None:
        """Add the next convolution of the branch and its norm; ``dcn`` replaces ``conv_cfg``."""
        self.num_convs += 1
        conv = build_conv_layer(
            self.conv_cfg if dcn is None else dcn,
            in_channels,
            out_channels,
            kernel_size,
            argument='conv_cfg' if dcn is None else 'dcn',
            padding=kernel_size // 2 * kwargs.get('dilation', 1),
            bias=False,
            **kwargs,
        )
        # In the order in which they are applied: tools fuse a norm into the convolution before it.
        if self.preactivation:
            self._add_norm(in_channels)
        self.add_module(f'conv{self.num_convs}', conv)
        if not self.preactivation:
            self._add_norm(out_channels)

    def _add_norm(self, channels: int) -> None:
        if self.normalize:
            name, norm = build_norm_layer(self.norm_cfg, channels, postfix=self.num_convs)
            self.add_module(name, norm)
            self.norm_names.append(name)

    def _add_plugins(self, plugins: Sequence[dict]) -> Tuple[Tuple[str, ...], ...]:
        """Add the plugins of the branch; returns their names, by the convolution they follow."""
        names = [[] for _ in range(self.num_convs)]
        for plugin in plugins:
            index = POSITIONS.index(plugin['position'])
            conv = getattr(self, f'conv{index + 1}')
            name, layer = build_plugin(plugin['cfg'], conv.out_channels)
            if hasattr(self, name):
                raise ValueError(
                    f'plugins must have different names in a block, got two that are called '
                    f'{name!r}: give the cfg of one a postfix'
                )
            self.add_module(name, layer)
            names[index].append(name)
        return tuple(map(tuple, names))

    def projection(self, in_channels: int, out_channels: int) -> Tuple[nn.Module, ...]:
        """The layers of a shortcut that changes the shape."""
        stride, pool = self.stride, ()
        if self.avg_down and stride > 1:
            stride = 1
            pool = (nn.AvgPool2d(self.stride, ceil_mode=True, count_include_pad=False),)
        conv = build_conv_layer(
            self.conv_cfg, in_channels, out_channels, 1, stride=stride, bias=False
        )
        if not self.normalize_projections:
            return *pool, conv
        return *pool, conv, build_norm_layer(self.norm_cfg, out_channels)[1]

    def build_reader(self, in_channels: int) -> nn.Module:
        """Build a convolution with outputs of the shape of the branch's first one."""
        conv = self.conv1
        return build_conv_layer(
            self.conv_cfg,
            in_channels,
            conv.out_channels,
            conv.kernel_size,
            stride=conv.stride,
            padding=conv.padding,
            dilation=conv.dilation,
            bias=False,
        )

    def forward(self, x: Tensor, feed: Optional[Tensor] = None) -> Tuple[Tensor, Tensor]:
        """Compute the two halves of the block.

        Args:
            x (Tensor): Input of shape (N, C_in, H, W).
            feed (Tensor, optional): See :meth:`branch`.

        Returns:
            Tuple[Tensor, Tensor]: Branch and shortcut, both of shape
            (N, C_out, H // stride, W // stride), rounded up.
        """
        branch = self.branch(x, feed)
        if not self.skip_connections:
            return branch, torch.zeros_like(branch)
        return branch, x if self.downsample is None else self.downsample(x)

    def branch(self, x: Tensor, feed: Optional[Tensor] = None) -> Tensor:
        """The residual branch up to its last norm, without activation.

        Args:
            x (Tensor): Input of shape (N, C_in, H, W).
            feed (Tensor, optional): What is added to the output of the
                first convolution, of its shape. Defaults to None.

        Returns:
            Tensor: Output of shape (N, C_out, H // stride, W // stride),
            rounded up.
        """
        if self.with_cp and torch.is_grad_enabled():
            return checkpoint_module(self, self._branch, x, feed)
        return self._branch(x, feed)

    def _branch(self, x: Tensor, feed: Optional[Tensor]) -> Tensor:
        x = self.first_conv(x, feed)
        for index in range(1, self.num_convs):
            if self.normalize:
                x = getattr(self, self.norm_names[index - 1])(x)
            x = self.act(x)
            for name in self.plugin_names[index - 1]:
                x = getattr(self, name)(x)
            if index == self.num_convs - 1:
                x = self.dropout(x)
            x = getattr(self, f'conv{index + 1}')(x)
        if self.normalize:
            norm = getattr(self, self.norm_names[-1])
            with_recipe = self.with_recipe and not self.plugin_names[-1]
            x = normalize_with_recipe(norm, x) if with_recipe else norm(x)
        for name in self.plugin_names[-1]:
            x = getattr(self, name)(x)
        return self.drop_path(x)

    def first_conv(self, x: Tensor, feed: Optional[Tensor]) -> Tensor:
        """Apply the first convolution, and add what an interaction feeds into the block.

        Raises:
            RuntimeError: If something is to be added, and the norm after the
                convolution has been fused into it.
        """
        x = self.conv1(x)
        if feed is None:
            return x
        following = self.norm_names[1:2] if self.preactivation else self.norm_names[:1]
        # What fuses a norm leaves this in its place.
        if any(type(getattr(self, name)) is nn.Identity for name in following):
            raise RuntimeError(
                'a convolution whose norm was fused into it cannot read the state of an '
                'interaction, which is added before the norm: do not fuse norms of this network'
            )
        return x + feed


class BasicBlock(ResidualBlock):
    """Two 3x3 convolutions; see :class:`ResidualBlock`.

    Source: He et al., `Deep Residual Learning for Image Recognition
    <https://arxiv.org/abs/1512.03385>`_, Fig. 5, left.
    """

    def add_convs(self, in_channels: int, mid_channels: int, out_channels: int) -> None:
        self.add_conv(in_channels, mid_channels, 3, stride=self.stride, dilation=self.dilation)
        self.add_conv(mid_channels, out_channels, 3)


class Bottleneck(ResidualBlock):
    """1x1, 3x3 and 1x1 convolutions; see :class:`ResidualBlock`.

    Source: He et al., `Deep Residual Learning for Image Recognition
    <https://arxiv.org/abs/1512.03385>`_, Fig. 5, right; in groups: Xie et al.,
    `Aggregated Residual Transformations for Deep Neural Networks
    <https://arxiv.org/abs/1611.05431>`_, Fig. 3c.
    """

    expansion = 4

    def add_convs(self, in_channels: int, mid_channels: int, out_channels: int) -> None:
        first, second = (1, self.stride) if self.style == 'pytorch' else (self.stride, 1)
        self.add_conv(in_channels, mid_channels, 1, stride=first)
        self.add_conv(
            mid_channels,
            mid_channels,
            3,
            self.dcn,
            stride=second,
            dilation=self.dilation,
            groups=self.groups,
        )
        self.add_conv(mid_channels, out_channels, 1)
