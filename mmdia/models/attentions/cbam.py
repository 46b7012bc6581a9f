"""Convolutional block attention module."""

from typing import Optional, Union

import torch
from mmengine.model import constant_init
from torch import Tensor, nn

from mmdia.registry import MODELS
from mmdia.utils import check_bool

from ..utils import (
    BottleneckMLP,
    check_kernel_size,
    full_precision,
    global_avg_pool,
    record,
    reduce_channels,
    scale_channels,
    single_or_double,
)
from .base import Attention


@MODELS.register_module()
class CBAM(Attention):
    """CBAM: a gate per channel, then a gate per position.

    ``y = x * sigmoid(mlp(GAP(x)) + mlp(GMP(x)))`` with GMP the global maximum
    and one MLP for both, C to C // r to C; then
    ``y * sigmoid(conv([mean of y over channels, maximum of y over channels]))``
    with a 7x7 convolution from 2 channels to 1, without bias.

    Source: Woo et al., `CBAM: Convolutional Block Attention Module
    <https://arxiv.org/abs/1807.06521>`_. As in its equations, the convolution
    has no batch norm after it, though the released code has one: the parameter
    counts of the papers around DIANet leave no room for it.

    Args:
        in_channels (int): Number of channels C.
        num_blocks (int): See :class:`Attention`. Defaults to 1.
        ratio (int): Reduction ratio r of the MLP. Defaults to 16.
        bias (bool): Whether the MLP has biases. Defaults to True.
        kernel_size (int): Kernel size of the convolution. Defaults to 7.
        init_cfg (dict | list[dict], optional): Initialization config.
            Defaults to ``dict(type='Kaiming', layer='Conv2d')``.
        **kwargs: See :class:`Attention`.

    Raises:
        TypeError: If ``ratio`` or ``kernel_size`` is not an integer.
        ValueError: If ``ratio`` is not in 1 ... C, or ``kernel_size`` not
            positive and odd.
    """

    def __init__(
        self,
        in_channels: int,
        num_blocks: int = 1,
        ratio: int = 16,
        bias: bool = True,
        kernel_size: int = 7,
        init_cfg: Optional[Union[dict, list]] = dict(type='Kaiming', layer='Conv2d'),
        **kwargs,
    ) -> None:
        super().__init__(in_channels, num_blocks, init_cfg=init_cfg, **kwargs)
        check_bool('bias', bias)
        check_kernel_size(kernel_size)
        mid_channels = reduce_channels(in_channels, ratio)
        self.mlp = BottleneckMLP(in_channels, mid_channels, in_channels, bias)
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def channel_gate(self, x: Tensor) -> Tensor:
        """The gates of all channels, of shape (N, C)."""
        average = self.mlp(self.like_weights(global_avg_pool(x)))
        maximum = self.mlp(self.like_weights(x.amax((2, 3))))
        return torch.sigmoid(average + maximum)

    def spatial_gate(self, x: Tensor) -> Tensor:
        """The gates of all positions, of shape (N, 1, H, W)."""
        average = x.mean(1, keepdim=True, dtype=single_or_double(x))
        maximum = x.amax(1, keepdim=True)
        return torch.sigmoid(self.conv(self.like_weights(torch.cat((average, maximum), dim=1))))

    def forward(self, x: Tensor, index: int = 0) -> Tensor:
        with full_precision(x):
            gate = self.channel_gate(x)
            record('gate', gate)
            x = scale_channels(x, gate)
            gate = self.spatial_gate(x)
            record('spatial_gate', gate)
            return x * gate.to(x.dtype)

    def zero_gate(self) -> float:
        constant_init(self.mlp[-1], 0)
        constant_init(self.conv, 0)
        return 0.25  # sigmoid(0) * sigmoid(0)
