"""Batch normalization that tells what it did, so that it can be repeated."""

from typing import NamedTuple, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Normalized(NamedTuple):
    """A normalized map and where it comes from.

    Args:
        map (Tensor): The normalized map, of shape (N, C, H, W).
        x (Tensor): What was normalized, of the same shape.
        norm (nn.BatchNorm2d): The norm.
        mean (Tensor): The mean that it subtracted, of shape (C,).
        var (Tensor): The variance that it divided by, of shape (C,).
    """

    map: Tensor
    x: Tensor
    norm: nn.BatchNorm2d
    mean: Tensor
    var: Tensor

    def affine(self, dtype: torch.dtype) -> Tuple[Tensor, Tensor, Tensor]:
        """Maps x, scale and shift such that ``x * scale + shift`` is the normalized map."""
        scale, shift = affine_of(self.norm, self.mean, self.var)
        return self.x, scale.to(dtype)[:, None, None], shift.to(dtype)[:, None, None]


def can_normalize(norm: Optional[nn.Module]) -> bool:
    """Whether a module is a batch norm that :func:`normalize` stands in for."""
    return (
        type(norm) is nn.BatchNorm2d
        and norm.affine
        and norm.track_running_stats
        and norm.momentum is not None
        and not norm._forward_hooks
        and not norm._forward_pre_hooks
    )


def normalize(norm: nn.BatchNorm2d, x: Tensor) -> Normalized:
    """Apply a batch norm, as calling it does.

    Args:
        norm (nn.BatchNorm2d): The norm; see :func:`can_normalize`.
        x (Tensor): Map of shape (N, C, H, W).

    Returns:
        Normalized: The normalized map, with the affine function that it is.
    """
    mean, var = norm.running_mean, norm.running_var
    if norm.training:
        # With momentum 1, "running" statistics are those of the batch.
        mean, var = torch.zeros_like(mean), torch.zeros_like(var)
        y = F.batch_norm(x, mean, var, norm.weight, norm.bias, True, 1.0, norm.eps)
        norm.num_batches_tracked.add_(1)
        norm.running_mean.mul_(1 - norm.momentum).add_(mean, alpha=norm.momentum)
        norm.running_var.mul_(1 - norm.momentum).add_(var, alpha=norm.momentum)
        count = x.numel() // x.shape[1]
        var = var * ((count - 1) / count)
    else:
        y = norm(x)
    return Normalized(y, x, norm, mean, var)


@torch.no_grad()
def affine_of(norm: nn.BatchNorm2d, mean: Tensor, var: Tensor) -> Tuple[Tensor, Tensor]:
    """What a batch norm does to every channel.

    Args:
        norm (nn.BatchNorm2d): The norm.
        mean (Tensor): The mean that it subtracts, of shape (C,).
        var (Tensor): The variance that it divides by, of shape (C,).

    Returns:
        Tuple[Tensor, Tensor]: Factor and summand, of shape (C,) each.
    """
    scale = norm.weight * torch.rsqrt(var + norm.eps)
    return scale, torch.addcmul(norm.bias, mean, scale, value=-1)
