"""Self-adaptive pooling enhanced attention."""

import torch
from torch import Tensor, nn

from mmdia.registry import MODELS

from .base import ChannelAttention


@MODELS.register_module()
class SPEM(ChannelAttention):
    """Self-adaptive pooling: a gate per channel from its maximum and its minimum.

    With ``m = w2 * max(x) + b2`` and ``n = w2 * min(x) + b2``, both over height
    and width, and their learned mixture
    ``y = (p1^2 * m + p2^2 * n) / (p1^2 + p2^2)``,

    ``x * sigmoid(m + n) * sigmoid(w1 * y + b1)``; w1, b1, w2 and b2 are vectors
    of C entries, p1 and p2 numbers.

    Source: Zhong et al., `Mix-Pooling Strategy for Attention Mechanism
    <https://arxiv.org/abs/2208.10322>`_, as its released code computes it, with
    w1 = w2 = 0, b1 = b2 = -1 and p1 = p2 = 1/2 at first. The released training
    also adds 0.1 times the sum of p1^2 + p2^2 over all blocks to the loss. The
    gate does not depend on that sum, and this package leaves it out.

    Args:
        in_channels (int): Number of channels C.
        num_blocks (int): See :class:`Attention`. Defaults to 1.
        **kwargs: See :class:`Attention`.
    """

    def __init__(self, in_channels: int, num_blocks: int = 1, **kwargs) -> None:
        super().__init__(in_channels, num_blocks, **kwargs)
        self.weight1 = nn.Parameter(torch.empty(in_channels))
        self.bias1 = nn.Parameter(torch.empty(in_channels))
        self.weight2 = nn.Parameter(torch.empty(in_channels))
        self.bias2 = nn.Parameter(torch.empty(in_channels))
        self.mixture = nn.Parameter(torch.empty(2))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Give all weights their first values."""
        for weight, bias in ((self.weight1, self.bias1), (self.weight2, self.bias2)):
            nn.init.zeros_(weight)
            nn.init.constant_(bias, -1)
        nn.init.constant_(self.mixture, 0.5)

    def gate(self, x: Tensor, index: int) -> Tensor:
        extremes = self.like_weights(torch.stack((x.amax((2, 3)), x.amin((2, 3))), dim=2))
        extremes = self.weight2[:, None] * extremes + self.bias2[:, None]
        shares = self.mixture.square() / self.mixture.square().sum()
        mixed = self.weight1 * (shares * extremes).sum(2) + self.bias1
        return torch.sigmoid(extremes.sum(2)) * torch.sigmoid(mixed)

    def zero_gate(self) -> float:
        for parameter in (self.weight1, self.bias1, self.weight2, self.bias2):
            nn.init.zeros_(parameter)
        return 0.25  # sigmoid(0) * sigmoid(0)
