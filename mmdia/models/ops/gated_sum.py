"""The gated residual sum, with a backward pass that keeps and computes little."""

from typing import Optional, Tuple

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from ..utils import as_factor, sum_pixels
from .eager import is_eager
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
