"""Efficient channel attention."""

from typing import Optional

import torch
from mmengine.model import constant_init
from torch import Tensor, nn

from mmdia.registry import MODELS

from ..utils import channel_kernel_size, check_kernel_size, global_avg_pool
from .base import ChannelAttention


@MODELS.register_module()
class ECA(ChannelAttention):
    """Efficient channel attention: a gate per channel from its neighbours' means.

    ``x * sigmoid(conv(GAP(x)))``, a convolution across the channels with k
    weights in all, padded with zeros, without bias.

    Source: Wang et al., `ECA-Net: Efficient Channel Attention for Deep
    Convolutional Neural Networks <https://arxiv.org/abs/1910.03151>`_.

    Args:
        in_channels (int): Number of channels C.
        num_blocks (int): See :class:`Attention`. Defaults to 1.
        kernel_size (int, optional): Kernel size k. Defaults to the paper's
            rule: (log2(C) + 1) / 2, rounded down, then up to an odd number;
            3 for 64 channels, 5 from 128 to 1024, 7 for 2048.
        **kwargs: See :class:`Attention`.

    Raises:
        TypeError: If ``kernel_size`` is not an integer.
        ValueError: If ``kernel_size`` is not positive and odd.
    """

    def __init__(
        self,
        in_channels: int,
        num_blocks: int = 1,
        kernel_size: Optional[int] = None,
        **kwargs,
    ) -> None:
        super().__init__(in_channels, num_blocks, **kwargs)
        if kernel_size is None:
            kernel_size = channel_kernel_size(in_channels)
        check_kernel_size(kernel_size)
        self.conv = nn.Conv1d(1, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def gate(self, x: Tensor, index: int) -> Tensor:
        pooled = self.like_weights(global_avg_pool(x))
        return torch.sigmoid(self.conv(pooled[:, None])[:, 0])

    def zero_gate(self) -> float:
        constant_init(self.conv, 0)
        return 0.5
