"""Batch normalization whose output says what it was computed from."""

from typing import NamedTuple, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..utils.eager import is_eager, is_unobserved

FORWARD = nn.BatchNorm2d.forward


class Source(NamedTuple):
    """What a batch norm computed its output from, and how.

    The norm keeps its input for the backward pass in any case. Whoever needs
    the output there can compute it again instead of keeping it as well.

    Args:
        x (Tensor): Input of the norm, of shape (N, C, H, W).
        mean (Tensor): Mean that was subtracted, of shape (C,).
        var (Tensor): Variance whose root it was divided by, of shape (C,).
        weight (Tensor): Weight of the norm, of shape (C,).
        bias (Tensor): Bias of the norm, of shape (C,).
        eps (float): What was added to the variance.
        of_batch (bool): Whether mean and variance are those of ``x``.
    """

    x: Tensor
    mean: Tensor
    var: Tensor
    weight: Tensor
    bias: Tensor
    eps: float
    of_batch: bool

    def scale_and_shift(self) -> Tuple[Tensor, Tensor]:
        """Factor and summand of each channel, of shape (C,): the output is x * scale + shift."""
        scale = self.weight * torch.rsqrt(self.var + self.eps)
        return scale, torch.addcmul(self.bias, self.mean, scale, value=-1)

    @torch.no_grad()
    def again(self) -> Tensor:
        """Compute the output again."""
        return F.batch_norm(self.x, self.mean, self.var, self.weight, self.bias, eps=self.eps)

    def differentiable(self) -> Tensor:
        """Compute the output again, so that gradients flow through it."""
        mean, var = (None, None) if self.of_batch else (self.mean, self.var)
        return F.batch_norm(self.x, mean, var, self.weight, self.bias, self.of_batch, 0, self.eps)


def normalize_with_source(norm: nn.Module, x: Tensor) -> Tensor:
    """Apply a norm, and let its output carry its :class:`Source` where that is known.

    Args:
        norm (nn.Module): Any norm.
        x (Tensor): Map of shape (N, C, H, W).

    Returns:
        Tensor: ``norm(x)``.
    """
    known = (
        is_eager(x)  # first: tracers put parameters that are looked at into the graph
        and type(norm) is nn.BatchNorm2d
        and type(norm).forward is FORWARD
        and norm.weight is not None
        and norm.bias is not None
        and norm.running_mean is not None
        and norm.track_running_stats
        and norm.num_batches_tracked is not None
        and norm.momentum is not None
        and torch.is_grad_enabled()
        and x.numel() > 0
        and is_unobserved(norm)
    )
    if not known:
        return norm(x)
    if norm.training:
        y, mean, var = normalize_by_batch(norm, x)
    else:
        # Copies, since a call in training may change them before the backward pass.
        y, mean, var = norm(x), norm.running_mean.clone(), norm.running_var.clone()
    # Copies, since parameters that are sharded are gone once the block has been called.
    weight, bias = norm.weight.clone(), norm.bias.clone()
    source = Source(x, mean, var, weight, bias, norm.eps, norm.training)
    y.source = source, y._version
    return y


def normalize_by_batch(norm: nn.BatchNorm2d, x: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
    """What a norm does in training, with the mean and the variance of the batch."""
    # With momentum 1, "running" statistics are those of the batch.
    mean, var = torch.zeros_like(norm.running_mean), torch.zeros_like(norm.running_var)
    y = F.batch_norm(x, mean, var, norm.weight, norm.bias, True, 1.0, norm.eps)
    norm.num_batches_tracked.add_(1)
    # As in torch, autograd is not to notice: graphs of earlier calls may hold them.
    norm.running_mean.data.lerp_(mean, norm.momentum)
    norm.running_var.data.lerp_(var, norm.momentum)
    count = x.numel() // x.shape[1]
    return y, mean, var * ((count - 1) / count)  # without Bessel's correction


def source_of(y: Tensor) -> Optional[Source]:
    """What a map was computed from; None where that is unknown, or the map has changed since."""
    if not (is_eager(y) and hasattr(y, 'source')):
        return None
    source, version = y.source
    return source if version == y._version else None
