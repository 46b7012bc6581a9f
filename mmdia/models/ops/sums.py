"""Sums of weighted maps, with backward passes that keep and compute little."""

from typing import Optional, Sequence, Tuple, Union

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from ..utils import as_factor, sum_pixels
from ..utils.eager import is_eager
from .normalization import Source, source_of


class GatedSum(torch.autograd.Function):
    """``identity + branch * gate``.

    What autograd does, in fewer passes over the maps. A branch with a
    :class:`Source` is not kept.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx, branch: Tensor, identity: Tensor, gate: Tensor, *source
    ) -> Tensor:
        """Compute the sum; see :func:`gated_sum`."""
        *tensors, ctx.eps, ctx.of_batch = source or (branch, None, None)
        ctx.save_for_backward(gate, *tensors)
        return torch.addcmul(identity, branch, as_factor(gate, branch))

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        """Compute the gradients of branch, shortcut and gate."""
        gate, x, *affine = ctx.saved_tensors
        source = Source(x, *affine, ctx.eps, ctx.of_batch) if affine else None
        if source is not None and torch.is_grad_enabled():
            # Gradients of gradients need the way from the norm's input to the branch.
            x, source = source.differentiable(), None
        elif source is not None and x.element_size() < 4:
            # In half precision the mean has to be subtracted before the product.
            x, source = source.again(), None
        grad_gate = sum_pixels(grad * x)
        if source is not None:
            scale, shift = source.scale_and_shift()
            grad_gate = grad_gate * scale + sum_pixels(grad) * shift
        grad_gate = grad_gate.sum_to_size(gate.shape).to(gate.dtype)
        grad_branch = grad * as_factor(gate, grad)
        return grad_branch, grad, grad_gate, *(None for _ in ctx.needs_input_grad[3:])


def gated_sum(branch: Tensor, identity: Tensor, gate: Tensor) -> Tensor:
    """Add a gated branch to the shortcut.

    Args:
        branch (Tensor): Branch of shape (N, C, H, W).
        identity (Tensor): Shortcut of the same shape.
        gate (Tensor): Gate of shape (N, C), or (N, 1) for all channels.

    Returns:
        Tensor: ``identity + branch * gate``, of shape (N, C, H, W).
    """
    if torch.is_grad_enabled() and is_eager(branch) and branch.dtype == identity.dtype:
        return GatedSum.apply(branch, identity, gate, *(source_of(branch) or ()))
    return torch.addcmul(identity, branch, as_factor(gate, branch))


def add_up(weights: Sequence[Tensor], maps: Sequence[Tensor]) -> Tensor:
    """The sum of :func:`weighted_sum`, in place, in one pass over each map."""
    total = maps[0] * as_factor(weights[0], maps[0])
    for t in range(1, len(maps)):
        total.addcmul_(maps[t], as_factor(weights[t], total))
    return total


class WeightedSum(torch.autograd.Function):
    """``sum_t weights_t * map_t``, in one pass over each map, and two in the backward pass."""

    @staticmethod
    def forward(ctx: FunctionCtx, *weights_and_maps: Tensor) -> Tensor:
        """Compute the sum; see :func:`weighted_sum`."""
        ctx.save_for_backward(*weights_and_maps)
        return add_up(*halves(weights_and_maps))

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> Tuple[Tensor, ...]:
        """Compute the gradients of the weights and of the maps."""
        weights, maps = halves(ctx.saved_tensors)
        sums = (sum_pixels(grad * x) for x in maps)
        of_weights = (s.sum_to_size(w.shape).to(w.dtype) for s, w in zip(sums, weights))
        return *of_weights, *(grad * as_factor(weight, grad) for weight in weights)


def halves(tensors: Sequence[Tensor]) -> Tuple[Sequence[Tensor], Sequence[Tensor]]:
    """The first and the second half of some tensors."""
    middle = len(tensors) // 2
    return tensors[:middle], tensors[middle:]


def weighted_sum(weights: Union[Tensor, Sequence[Tensor]], maps: Sequence[Tensor]) -> Tensor:
    """Sum of maps, each channel with a weight.

    Args:
        weights (Tensor | Sequence[Tensor]): t weights of shape (N, C), or (1, C)
            for all samples.
        maps (Sequence[Tensor]): t maps of shape (N, C, H, W).

    Returns:
        Tensor: The sum, of shape (N, C, H, W).
    """
    if torch.is_grad_enabled() and is_eager(maps[0]):
        return WeightedSum.apply(*weights, *maps)
    total = maps[0] * as_factor(weights[0], maps[0])
    for t in range(1, len(maps)):
        total = torch.addcmul(total, maps[t], as_factor(weights[t], total))
    return total
