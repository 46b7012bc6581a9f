"""Spatial pyramid attention."""

from typing import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import constant_init
from torch import Tensor

from mmdia.registry import MODELS
from mmdia.utils import check_bool, check_ints

from ..utils import BottleneckMLP, reduce_channels, single_or_double
from .base import ChannelAttention


@MODELS.register_module()
class SPA(ChannelAttention):
    """Spatial pyramid attention: a gate per channel from means over a few grids.

    ``x * sigmoid(W2 relu(W1 p))`` with p the means over the cells of a 4x4, a
    2x2 and a 1x1 grid, 21 C numbers, W1 from 21 C to C // r, W2 from there to
    C, both without bias. Cells of maps that a grid does not divide overlap by
    a row or column, as those of adaptive pooling do.

    Source: Guo et al., `SPANet: Spatial Pyramid Attention Network for Enhanced
    Image Recognition <https://doi.org/10.1109/ICME46284.2020.9102906>`_ (ICME
    2020; not on arXiv). Of its three places for the module this is the one
    within the branch.

    Args:
        in_channels (int): Number of channels C.
        num_blocks (int): See :class:`Attention`. Defaults to 1.
        ratio (int): Reduction ratio r. Defaults to 16.
        bias (bool): Whether W1 and W2 have biases. Defaults to False.
        grids (Sequence[int]): Cells along each side, by grid.
            Defaults to (4, 2, 1).
        **kwargs: See :class:`Attention`.

    Raises:
        TypeError: If ``ratio`` or a grid is not an integer.
        ValueError: If ``ratio`` is not in 1 ... C, a grid not positive, or
            there is none.
    """

    def __init__(
        self,
        in_channels: int,
        num_blocks: int = 1,
        ratio: int = 16,
        bias: bool = False,
        grids: Sequence[int] = (4, 2, 1),
        **kwargs,
    ) -> None:
        super().__init__(in_channels, num_blocks, **kwargs)
        check_bool('bias', bias)
        check_ints('grids', grids)
        self.grids = tuple(map(int, grids))
        pooled_channels = in_channels * sum(grid**2 for grid in self.grids)
        mid_channels = reduce_channels(in_channels, ratio)
        self.mlp = BottleneckMLP(pooled_channels, mid_channels, in_channels, bias)

    def gate(self, x: Tensor, index: int) -> Tensor:
        x = x.to(single_or_double(x))
        pooled = [F.adaptive_avg_pool2d(x, grid).flatten(1) for grid in self.grids]
        return torch.sigmoid(self.mlp(self.like_weights(torch.cat(pooled, dim=1))))

    def zero_gate(self) -> float:
        constant_init(self.mlp[-1], 0)
        return 0.5
