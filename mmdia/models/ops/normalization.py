"""Batch normalization that tells what it did, so that it can be repeated."""

from typing import NamedTuple, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .eager import has_hooks, is_bare, is_eager


class Normalized(NamedTuple):
    """A normalized map and where it comes from.

    Args:
        map (Tensor): The normalized map, of shape (N, C, H, W).
        x (Tensor): What was normalized, of the same shape.
        norm (nn.BatchNorm2d): The norm.
        statistics (Tuple[Tensor], optional): Mean and variance of the batch, of
            shape (C,) each. Defaults to None, which stands for running ones.
    """

    map: Tensor
    x: Tensor
    norm: nn.BatchNorm2d
    statistics: Optional[Tuple[Tensor, Tensor]] = None

    def affine(self) -> Tuple[Tensor, Tensor, Tensor]:
        """Map x, scale and shift such that the normalized map is ``x * scale + shift``."""
        return self.x, *affine_of(self.norm, self.statistics)

    @torch.no_grad()
    def repeat(self) -> Tensor:
        """Compute the map again."""
        norm = self.norm
        mean, var = self.statistics or (norm.running_mean, norm.running_var)
        return F.batch_norm(self.x, mean, var, norm.weight, norm.bias, eps=norm.eps)


def can_normalize(norm: Optional[nn.Module]) -> bool:
    """Whether a module is a batch norm that :func:`normalize` stands in for."""
    return (
        is_bare(norm, nn.BatchNorm2d)
        and norm.affine
        and norm.track_running_stats
        and norm.momentum is not None
    )


def can_open(block: nn.Module, *others: nn.Module) -> bool:
    """Whether the last norm of a block may be applied apart from the block.

    Args:
        block (ResidualBlock): The block.
        *others (nn.Module): What would not be called then, nor its hooks.
    """
    return (
        is_eager()
        and not has_hooks(block, *others)
        and can_normalize(block.last_norm)
        and block.is_deterministic()
    )


def normalize(norm: nn.BatchNorm2d, x: Tensor) -> Normalized:
    """Apply a batch norm, as calling it does.

    Args:
        norm (nn.BatchNorm2d): The norm; see :func:`can_normalize`.
        x (Tensor): Map of shape (N, C, H, W).

    Returns:
        Normalized: The normalized map, with the affine function that it is.
    """
    if not norm.training:
        return Normalized(norm(x), x, norm)
    # With momentum 1, "running" statistics are those of the batch.
    mean, var = torch.zeros_like(norm.running_mean), torch.zeros_like(norm.running_var)
    y = F.batch_norm(x, mean, var, norm.weight, norm.bias, True, 1.0, norm.eps)
    norm.num_batches_tracked.add_(1)
    norm.running_mean.lerp_(mean, norm.momentum)
    norm.running_var.lerp_(var, norm.momentum)
    count = x.numel() // x.shape[1]
    var = var * ((count - 1) / count)  # without Bessel's correction
    return Normalized(y, x, norm, (mean, var))


@torch.no_grad()
def affine_of(
    norm: nn.BatchNorm2d, statistics: Optional[Tuple[Tensor, Tensor]] = None
) -> Tuple[Tensor, Tensor]:
    """What a batch norm does to every channel.

    Args:
        norm (nn.BatchNorm2d): The norm.
        statistics (Tuple[Tensor], optional): See :class:`Normalized`.

    Returns:
        Tuple[Tensor, Tensor]: Factor and summand, of shape (C,) each.
    """
    mean, var = statistics or (norm.running_mean, norm.running_var)
    scale = norm.weight * torch.rsqrt(var + norm.eps)
    return scale, torch.addcmul(norm.bias, mean, scale, value=-1)
