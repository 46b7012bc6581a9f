"""Spatial group-wise enhancement."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdia.registry import MODELS
from mmdia.utils import check_int

from ..utils import full_precision, global_avg_pool
from .base import Attention, at_least_single


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

    neutral_gate = 0.5  # sigmoid(0)

    def __init__(self, in_channels: int, num_blocks: int = 1, groups: int = 64, **kwargs) -> None:
        super().__init__(in_channels, num_blocks, **kwargs)
        check_int('groups', groups)
        if in_channels % groups:
            raise ValueError(
                f'groups must divide the number of channels, {in_channels}, got {groups}'
            )
        self.groups = groups
        self.weight = nn.Parameter(torch.zeros(groups, 1))
        self.bias = nn.Parameter(torch.ones(groups, 1))

    def gate(self, x: Tensor) -> Tensor:
        """The gates of all groups and positions, of shape (N, groups, H * W)."""
        parts = at_least_single(x).unflatten(1, (self.groups, -1)).flatten(3)
        mean = global_avg_pool(x).unflatten(1, (self.groups, 1, -1))
        similarity = (mean @ parts)[:, :, 0]
        similarity = F.layer_norm(similarity, similarity.shape[-1:])
        return torch.sigmoid(self.like_weights(similarity) * self.weight + self.bias)

    def forward(self, x: Tensor, index: int = 0) -> Tensor:
        """See :meth:`Attention.forward`."""
        with full_precision(x):
            gate = self.gate(x).to(x.dtype).unflatten(2, x.shape[2:])
        return (x.unflatten(1, (self.groups, -1)) * gate[:, :, None]).flatten(1, 2)

    def neutralize(self) -> None:
        """See :meth:`Attention.neutralize`."""
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)
