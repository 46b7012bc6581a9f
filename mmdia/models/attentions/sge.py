"""Spatial group-wise enhancement."""

import torch
from mmengine.model import constant_init
from torch import Tensor, nn

from mmdia.registry import MODELS
from mmdia.utils import check_int

from ..utils import full_precision, global_avg_pool, record, single_or_double
from .base import Attention


@MODELS.register_module()
class SGE(Attention):
    """Spatial group-wise enhance: a gate a position for each group of channels.

    Positions of a group are compared with its mean, ``t = <x, GAP(x)>`` over
    the channels of the group; then ``x * sigmoid(w * norm(t) + b)``, where the
    norm takes mean and deviation of t over height and width, and each group
    has a weight w and a bias b.

    Source: Li et al., `Spatial Group-wise Enhance: Improving Semantic Feature
    Learning in Convolutional Networks <https://arxiv.org/abs/1905.09646>`_,
    with w = 0 and b = 1 at first, as in the released code. The norm divides by
    ``sqrt(variance + 1e-5)``, as others do, and not by the deviation plus
    1e-5, whose derivative is infinite where a map is constant. It keeps no
    statistics: blocks that share the module share w and b.

    Args:
        in_channels (int): Number of channels C.
        num_blocks (int): See :class:`Attention`. Defaults to 1.
        groups (int): Number of groups. Defaults to 64.
        **kwargs: See :class:`Attention`.

    Raises:
        TypeError: If ``groups`` is not an integer.
        ValueError: If ``groups`` does not divide C.
    """

    eps = 1e-5  # of the norm

    def __init__(self, in_channels: int, num_blocks: int = 1, groups: int = 64, **kwargs) -> None:
        super().__init__(in_channels, num_blocks, **kwargs)
        check_int('groups', groups)
        if in_channels % groups:
            raise ValueError(
                f'groups must divide the number of channels, {in_channels}, got {groups}'
            )
        self.groups = groups
        self.weight = nn.Parameter(torch.empty(groups, 1))
        self.bias = nn.Parameter(torch.empty(groups, 1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Give weight and bias their first values."""
        nn.init.zeros_(self.weight)
        nn.init.ones_(self.bias)

    def gate(self, x: Tensor) -> Tensor:
        """The gates of all groups and positions, of shape (N, groups, H, W)."""
        parts = x.to(single_or_double(x)).unflatten(1, (self.groups, -1))
        pooled = global_avg_pool(x).unflatten(1, (self.groups, -1))
        similarity = (pooled[..., None, None] * parts).sum(2)
        variance, mean = torch.var_mean(similarity, (2, 3), correction=0, keepdim=True)
        normalized = (similarity - mean) * torch.rsqrt(variance + self.eps)
        weight, bias = self.weight[..., None], self.bias[..., None]
        return torch.sigmoid(self.like_weights(normalized) * weight + bias)

    def forward(self, x: Tensor, index: int = 0) -> Tensor:
        with full_precision(x):
            gate = self.gate(x).to(x.dtype)
        record('spatial_gate', gate)
        return (x.unflatten(1, (self.groups, -1)) * gate[:, :, None]).flatten(1, 2)

    def zero_gate(self) -> float:
        constant_init(self, 0)
        return 0.5
