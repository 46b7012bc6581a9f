"""The end of a bottleneck in evaluation, as one matrix product."""

import torch
from torch import Tensor, nn

from ..utils import global_avg_pool
from .eager import is_bare
from .normalization import affine_of

# By measurement: with fewer pixels a channel, weights for every sample take longer than a norm.
PIXELS_PER_CHANNEL = 4


class Expansion:
    """A 1x1 convolution and its norm, in evaluation: ``W x + b`` at every pixel.

    So the mean of its output follows from that of its input, which has fewer
    channels, and gate and shortcut can be part of the product.

    Args:
        conv (nn.Conv2d): The convolution, of C channels to C'.
        norm (nn.BatchNorm2d): The norm of its output.
    """

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
        scale, self.bias = affine_of(norm)
        self.weight = conv.weight.flatten(1) * scale[:, None]

    def pool(self, x: Tensor) -> Tensor:
        """Mean over height and width of the output, (N, C'), for inputs (N, C, H, W)."""
        return torch.addmm(self.bias, global_avg_pool(x), self.weight.t())

    def add(self, x: Tensor, identity: Tensor, gate: Tensor) -> Tensor:
        """Add the gated output to a shortcut.

        Args:
            x (Tensor): Input of shape (N, C, H, W).
            identity (Tensor): Shortcut of shape (N, C', H, W).
            gate (Tensor): Gate of the output, of shape (N, C') or (N, 1).

        Returns:
            Tensor: Sum of shape (N, C', H, W).
        """
        gate = gate[:, :, None]
        out = torch.baddbmm(identity.flatten(2), self.weight * gate, x.flatten(2))
        return out.add_(self.bias[:, None] * gate).view_as(identity)


def can_expand(block: nn.Module, interaction: nn.Module, x: Tensor) -> bool:
    """Whether an :class:`Expansion` does what a block ends with, and faster.

    That was measured on CPUs, in the default memory format. Its numbers are
    rounded in another order, which is not for networks that equal the plain one
    to the last bit where they start.

    Args:
        block (ResidualBlock): The block; see :func:`can_open`.
        interaction (LayerInteraction): What combines its halves.
        x (Tensor): Input of its last convolution, of shape (N, C, H, W).
    """
    conv = block.last_conv
    return (
        not torch.is_grad_enabled()
        and not interaction.identity_init
        and not block.last_norm.training
        and is_bare(conv, nn.Conv2d)
        and conv.kernel_size == conv.stride == (1, 1)
        and conv.groups == 1
        and conv.bias is None
        and x.device.type == 'cpu'
        and x.dtype in (torch.float32, torch.float64)
        and x.is_contiguous()
        and x.shape[2] * x.shape[3] >= PIXELS_PER_CHANNEL * x.shape[1]
    )
