"""Modules that a network applies many times in one forward pass."""

import copy
from typing import List, Tuple

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

from .eager import is_eager

# Where MKL is twice as fast with weights as the left factor, by measurement.
FEW_ROWS = 8
MANY_WEIGHTS = 2**18


def unroll(module: nn.Module) -> nn.Module:
    """A view of a module for one forward pass that applies it many times.

    Its linear layers compute the gradient of their weights once for all
    applications, by a single product, where autograd would add up as many
    gradients of the size of the weights.

    Args:
        module (nn.Module): The module.

    Returns:
        nn.Module: What to call in its place, until the end of the pass.
    """
    if not is_eager():
        return module
    if type(module) is nn.Linear and not module._forward_hooks and not module._forward_pre_hooks:
        return UnrolledLinear(module)
    view = copy.copy(module)
    view._modules = {name: unroll(child) for name, child in module._modules.items()}
    return view


class UnrolledLinear(nn.Module):
    """A linear layer in one forward pass.

    Args:
        layer (nn.Linear): The layer, whose parameters this one uses.
    """

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer
        self.uses: List[Tuple[Tensor, Tensor]] = []
        # Its gradient arrives when those of all uses have.
        self.token = Gather.apply(layer.weight, layer.bias, self.uses)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to rows of shape (N, C)."""
        if self.token.requires_grad or x.requires_grad:
            return Use.apply(x, self.token, self.layer.weight.detach(), self.layer.bias, self.uses)
        return linear(x, self.layer.weight, self.layer.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """See :func:`torch.nn.functional.linear`; for rows of shape (N, C)."""
    if x.shape[0] > FEW_ROWS or weight.numel() < MANY_WEIGHTS or x.device.type != 'cpu':
        return nn.functional.linear(x, weight, bias)
    return torch.addmm(bias[:, None], weight, x.contiguous().t()).t()


def check_count(noted: int, arrived: Tensor) -> None:
    """Raise RuntimeError where gradients of an earlier backward pass are left."""
    if noted != arrived:
        raise RuntimeError('an earlier backward pass went through a part of the network only')


class Gather(torch.autograd.Function):
    """Where the gradients of a linear layer come together."""

    @staticmethod
    def forward(ctx: FunctionCtx, weight: Tensor, bias: Tensor, uses: list) -> Tensor:
        """Return a token, which every use takes."""
        ctx.uses = uses
        return weight.new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, count: Tensor) -> Tuple[Tensor, Tensor, None]:
        """Compute the gradients of weights and biases of all uses."""
        check_count(len(ctx.uses), count)
        inputs, grads = (torch.cat(rows) for rows in zip(*ctx.uses))
        ctx.uses.clear()
        return grads.t() @ inputs, grads.sum(0), None


class Use(torch.autograd.Function):
    """One use of a linear layer."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, x: Tensor, token: Tensor, weight: Tensor, bias: Tensor, uses: list
    ) -> Tensor:
        """Apply the layer."""
        ctx.save_for_backward(x, weight)
        ctx.uses = uses
        return linear(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> Tuple[Tensor, ...]:
        """Note input and gradient, and compute the gradient of the input."""
        x, weight = ctx.saved_tensors
        ctx.uses.append((x, grad))
        return grad @ weight, grad.new_ones(()), None, None, None
