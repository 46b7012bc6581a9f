"""Modules that a network applies many times in one forward pass."""

import copy
from typing import List, Optional, Tuple

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

from .eager import is_bare, is_eager
from .gathering import Uses

# By measurement: what smaller layers would save is less than what the bookkeeping costs.
MANY_WEIGHTS = 2**16
# Up to so many, MKL is up to twice as fast with weights as the left factor.
FEW_ROWS = 8


def unroll(module: nn.Module) -> nn.Module:
    """A view of a module for one forward pass that applies it many times.

    Its large linear layers compute the gradient of their weights once for all
    applications, by a single product, where autograd would add up as many
    gradients of the size of the weights.

    Args:
        module (nn.Module): The module.

    Returns:
        nn.Module: What to call in its place, until the end of the pass.
    """
    if not is_eager():
        return module
    if is_bare(module, nn.Linear) and module.weight.numel() >= MANY_WEIGHTS:
        return module if module.bias is None else UnrolledLinear(module)
    children = {name: unroll(child) for name, child in module._modules.items()}
    if children == module._modules:
        return module
    view = copy.copy(module)
    view._modules = children
    return view


class UnrolledLinear(nn.Module):
    """A linear layer in one forward pass.

    Args:
        layer (nn.Linear): The layer, whose parameters this one uses.
    """

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer
        self.uses = Uses(linear_gradients, layer.weight, layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to rows of shape (N, C)."""
        weight, bias = self.layer.weight.detach(), self.layer.bias.detach()
        if not torch.is_grad_enabled():
            return linear(x, weight, bias)
        return UseLinear.apply(x, self.uses.token, weight, bias, self.uses)


class UseLinear(torch.autograd.Function):
    """One use of a linear layer."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, x: Tensor, token: Tensor, weight: Tensor, bias: Tensor, uses: Uses
    ) -> Tensor:
        """Apply the layer."""
        ctx.save_for_backward(x, weight)
        ctx.uses = uses
        return linear(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        """Note input and gradient, and compute the gradient of the input."""
        x, weight = ctx.saved_tensors
        ctx.uses.of_this_pass().append((x, grad))
        return grad @ weight, None, None, None, None


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """See :func:`torch.nn.functional.linear`; for rows of shape (N, C)."""
    if x.shape[0] > FEW_ROWS or x.device.type != 'cpu':
        return nn.functional.linear(x, weight, bias)
    return torch.addmm(bias[:, None], weight, x.contiguous().t()).t()


def linear_gradients(notes: List[Tuple[Tensor, Tensor]]) -> Tuple[Tensor, Tensor]:
    """Gradients of weights and biases, from inputs and gradients of the outputs."""
    inputs, grads = (torch.cat(rows) for rows in zip(*notes))
    return grads.t() @ inputs, grads.sum(0)
