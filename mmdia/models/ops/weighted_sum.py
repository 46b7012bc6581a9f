"""Weighted sums of maps that are summed again and again."""

from typing import List, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from ..utils import scale_channels
from .eager import is_eager
from .unrolling import check_count


class Kept(NamedTuple):
    """A map that is part of several weighted sums.

    Args:
        map (Tensor): The map, of shape (N, C, H, W).
        grads (List[Tensor]): The gradient so far, and ones for its summands.
        token (Tensor, optional): Stands for the map in the graph of autograd.
    """

    map: Tensor
    grads: List[Tensor]
    token: Optional[Tensor] = None


class Keep(torch.autograd.Function):
    """Where the gradients of a map from all its sums come together."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, grads: list) -> Tensor:
        """Return a token, which every sum takes."""
        ctx.grads = grads
        return x.new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, count: Tensor) -> Tuple[Tensor, None]:
        """Return the gradient, to which all sums have contributed."""
        total, *summands = ctx.grads
        check_count(len(summands), count)
        ctx.grads.clear()
        return total, None


class WeightedSum(torch.autograd.Function):
    """``sum_t weights_t * map_t``, one pass over every map."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, weights: Tensor, values: Sequence[Kept], *tokens: Tensor
    ) -> Tensor:
        """Compute the sum."""
        ctx.save_for_backward(weights, *(value.map for value in values))
        ctx.grads = [value.grads for value in values]
        return add_up(weights, [value.map for value in values])

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        """Compute the gradients of the weights, and add to those of the maps."""
        weights, *maps = ctx.saved_tensors
        grad_weights = torch.empty_like(weights)
        product = torch.empty_like(grad)
        for i, (x, grads) in enumerate(zip(maps, ctx.grads)):
            grad_weights[i] = torch.mul(grad, x, out=product).flatten(2).sum(2)
            weight = weights[i].to(grad.dtype)[:, :, None, None]
            if grads:
                grads[0].addcmul_(grad, weight)
            else:
                grads.append(grad * weight)
            grads.append(grad.new_ones(()))
        return grad_weights, None, *(grads[-1] for grads in ctx.grads)


def add_up(weights: Tensor, maps: Sequence[Tensor]) -> Tensor:
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
        return Kept(x, [])
    grads: List[Tensor] = []
    return Kept(x.detach(), grads, Keep.apply(x, grads))


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
    tokens = [value.token for value in values]
    if is_eager() and None not in tokens:
        return WeightedSum.apply(weights, values, *tokens)
    maps = [value.map for value in values]
    if is_eager() and not torch.is_grad_enabled():
        return add_up(weights, maps)
    return sum(scale_channels(x, weight) for x, weight in zip(maps, weights))
