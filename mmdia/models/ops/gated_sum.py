"""The gated residual sum, with a backward pass that keeps and computes little."""

from typing import Optional, Tuple

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

from ..utils import sum_pixels
from .eager import is_eager
from .normalization import Normalized


class GatedSum(torch.autograd.Function):
    """``identity + branch * gate``, rectified or not.

    What autograd would do, in fewer passes over the maps. A branch that a norm
    has just computed is overwritten by the sum, and computed again from the
    norm's input, which is kept anyway, when the gradient of the gate needs it.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        branch: Tensor,
        identity: Tensor,
        gate: Tensor,
        rectify: bool,
        source: Optional[Tuple[Tensor, Tensor, Tensor]],
    ) -> Tensor:
        """Compute the sum.

        Args:
            ctx (FunctionCtx): Context of the backward pass.
            branch (Tensor): Branch of shape (N, C, H, W).
            identity (Tensor): Shortcut of the same shape.
            gate (Tensor): Gate of shape (N, C) or (N, 1).
            rectify (bool): Whether a ReLU follows.
            source (Tuple[Tensor], optional): Map x, and scale and shift of its
                channels such that the branch is ``x * scale + shift``. The
                branch is overwritten.

        Returns:
            Tensor: The sum, of shape (N, C, H, W).
        """
        factor = gate.to(branch.dtype)[:, :, None, None]
        if source is None:
            out = torch.addcmul(identity, branch, factor)
            kept = (branch,)
        else:
            ctx.mark_dirty(branch)
            out = torch.addcmul(identity, branch, factor, out=branch)
            kept = source
        if rectify:
            out = out.relu_()
        ctx.rectify = rectify
        ctx.save_for_backward(out if rectify else None, gate, *kept)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        """Compute the gradients of branch, shortcut and gate."""
        out, gate, x, *affine = ctx.saved_tensors
        if ctx.rectify:
            grad = torch.ops.aten.threshold_backward(grad, out, 0)
        product = grad * x
        grad_gate = sum_pixels(product)
        if affine:
            scale, shift = affine
            grad_gate = grad_gate * scale + sum_pixels(grad) * shift
        grad_gate = grad_gate.sum_to_size(gate.shape).to(gate.dtype)
        grad_branch = torch.mul(grad, gate.to(grad.dtype)[:, :, None, None], out=product)
        return grad_branch, grad, grad_gate, None, None


def gated_sum(
    branch: Tensor,
    identity: Tensor,
    gate: Tensor,
    act: nn.Module,
    source: Optional[Normalized] = None,
) -> Tensor:
    """Add a gated branch to the shortcut and activate the sum.

    Args:
        branch (Tensor): Branch of shape (N, C, H, W).
        identity (Tensor): Shortcut of the same shape.
        gate (Tensor): Gate of shape (N, C), or (N, 1) for all channels.
        act (nn.Module): The activation.
        source (Normalized, optional): How the branch was computed. It is then
            overwritten. Defaults to None.

    Returns:
        Tensor: ``act(identity + branch * gate)``, of shape (N, C, H, W).
    """
    if is_eager() and torch.is_grad_enabled() and branch.dtype == identity.dtype:
        rectify = isinstance(act, nn.ReLU)
        affine = None if source is None else source.affine()
        out = GatedSum.apply(branch, identity, gate, rectify, affine)
        return out if rectify else act(out)
    gate = gate.to(branch.dtype)[:, :, None, None]
    overwrite = source is not None and branch.dtype == identity.dtype
    return act(torch.addcmul(identity, branch, gate, out=branch if overwrite else None))
