"""Weighted sums of maps that are summed again and again."""

from typing import List, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from ..utils import scale_channels, sum_pixels
from .eager import is_eager
from .gathering import Uses


class Kept(NamedTuple):
    """A map that is part of several weighted sums.

    Args:
        map (Tensor): The map, of shape (N, C, H, W).
        uses (Uses, optional): Where sums leave their gradients, of which its
            own is a weighted sum again.
    """

    map: Tensor
    uses: Optional[Uses] = None


class WeightedSum(torch.autograd.Function):
    """``sum_t weights_t * map_t``, one pass over every map."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, weights: Tensor, values: Sequence[Kept], *tokens: Tensor
    ) -> Tensor:
        """Compute the sum."""
        maps = [value.map for value in values]
        ctx.save_for_backward(weights, *maps)
        ctx.uses = [value.uses for value in values]
        return add_up(weights, maps)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        """Compute the gradients of the weights, and note what those of the maps need."""
        weights, *maps = ctx.saved_tensors
        grad_weights = torch.empty_like(weights)
        product = torch.empty_like(grad)
        for i, (x, uses) in enumerate(zip(maps, ctx.uses)):
            grad_weights[i] = sum_pixels(torch.mul(grad, x, out=product))
            uses.of_this_pass().append((weights[i], grad))
        return grad_weights, None, *(None for _ in maps)


def gradient(notes: List[Tuple[Tensor, Tensor]]) -> Tuple[Tensor]:
    """Gradient of a map, from its weights in all sums and the gradients of these."""
    return (add_up(*zip(*notes)),)


def add_up(weights: Sequence[Tensor], maps: Sequence[Tensor]) -> Tensor:
    """Sum of weighted maps, added up in place."""
    total = scale_channels(maps[0], weights[0])
    for weight, x in zip(weights[1:], maps[1:]):
        total.addcmul_(x, weight.to(x.dtype)[:, :, None, None])
    return total


def keep(x: Tensor) -> Kept:
    """Prepare a map for :func:`weighted_sum`.

    Args:
        x (Tensor): Map of shape (N, C, H, W).

    Returns:
        Kept: The map, whose gradient the sums have in common.
    """
    if not (is_eager() and torch.is_grad_enabled() and x.requires_grad):
        return Kept(x)
    return Kept(x.detach(), Uses(gradient, x))


def weighted_sum(weights: Tensor, values: Sequence[Kept]) -> Tensor:
    """Sum of maps, each channel with a weight.

    With gradients autograd would keep every weighted map, and for every sum
    allocate a gradient of every map.

    Args:
        weights (Tensor): Weights of shape (t, N, C).
        values (Sequence[Kept]): t maps of shape (N, C, H, W); see :func:`keep`.

    Returns:
        Tensor: The sum, of shape (N, C, H, W).
    """
    if is_eager() and all(value.uses is not None for value in values):
        return WeightedSum.apply(weights, values, *(value.uses.token for value in values))
    maps = [value.map for value in values]
    if is_eager() and not torch.is_grad_enabled():
        return add_up(weights, maps)
    return sum(scale_channels(x, weight) for x, weight in zip(maps, weights))
