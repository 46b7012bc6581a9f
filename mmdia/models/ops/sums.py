"""Sums of weighted maps, with a backward pass that keeps and computes little."""

from functools import partial
from typing import Optional, Sequence, Tuple, Union

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from ..utils import as_factor, sum_pixels
from ..utils.eager import is_eager
from .recomputation import apply_recomputing, recipe_of, with_recipe


def add_up(*weights_and_maps: Optional[Tensor]) -> Tensor:
    """The sum of :func:`weighted_sum`, in one pass over each map; the first weight can be None."""
    weights, maps = halves(weights_and_maps)
    total = maps[0] if weights[0] is None else maps[0] * as_factor(weights[0], maps[0])
    for weight, x in zip(weights[1:], maps[1:]):
        total = torch.addcmul(total, x, as_factor(weight, x))
    return total


def halves(tensors: Sequence[Optional[Tensor]]) -> Tuple[Sequence, Sequence]:
    """The first and the second half of some tensors."""
    middle = len(tensors) // 2
    return tensors[:middle], tensors[middle:]


class WeightedSum(torch.autograd.Function):
    """:func:`add_up`, with two passes over each map in the backward pass."""

    @staticmethod
    def forward(ctx: FunctionCtx, *weights_and_maps: Optional[Tensor]) -> Tensor:
        """Compute the sum."""
        weights, maps = halves(weights_and_maps)
        needed = (None if w is None else x for w, x in zip(weights, maps))
        ctx.save_for_backward(*weights, *needed)
        return add_up(*weights_and_maps)

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        """Compute the gradients of the weights and of the maps."""
        weights, maps = halves(ctx.saved_tensors)
        # Autograd sums up, and casts, what is for a weight of fewer entries or another dtype.
        of_weights = (None if w is None else sum_pixels(grad * x) for w, x in zip(weights, maps))
        of_maps = (grad if w is None else grad * as_factor(w, grad) for w in weights)
        return *of_weights, *of_maps


def weighted_sum(
    weights: Union[Tensor, Sequence[Tensor]], maps: Sequence[Tensor], recompute: bool = False
) -> Tensor:
    """Sum of maps, each channel with a weight.

    Args:
        weights (Tensor | Sequence[Tensor]): t weights of shape (N, C) or (1, C).
        maps (Sequence[Tensor]): t maps of shape (N, C, H, W).
        recompute (bool): Whether to give the sum a recipe. Defaults to False.

    Returns:
        Tensor: The sum, of shape (N, C, H, W).
    """
    if torch.is_grad_enabled() and is_eager(maps[0]):
        total = WeightedSum.apply(*weights, *maps)
        return with_recipe(total, add_up, *weights, *maps) if recompute else total
    # By their number, for symbolic tracing.
    return add_up(*[weights[t] for t in range(len(maps))], *maps)


def gated_sum(branch: Tensor, identity: Tensor, gate: Tensor) -> Tensor:
    """Add a gated branch, which is not kept where it has a recipe, to the shortcut.

    Args:
        branch (Tensor): Branch of shape (N, C, H, W).
        identity (Tensor): Shortcut of the same shape.
        gate (Tensor): Gate of shape (N, C), or (N, 1) for all channels.

    Returns:
        Tensor: ``identity + branch * gate``, of shape (N, C, H, W).
    """
    if torch.is_grad_enabled() and is_eager(branch):
        join = partial(WeightedSum.apply, None, gate, identity)
        return apply_recomputing((join,), branch, recipe_of(branch))[0]
    return torch.addcmul(identity, branch, as_factor(gate, branch))
