"""Modules that a network applies many times in one forward pass."""

import copy
from typing import List, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

from ..utils import BottleneckMLP
from .eager import is_bare, is_eager
from .gathering import Uses

# Up to so many, MKL is up to twice as fast with large weights that widen as the left factor.
FEW_ROWS = 6
MANY_WEIGHTS = 2**16


def unroll(module: nn.Module) -> nn.Module:
    """A view of a module for one forward pass that applies it many times.

    Its linear layers compute the gradients of their weights once for all
    applications, by a single product, where autograd would add up as many
    gradients of the size of the weights.

    Args:
        module (nn.Module): The module.

    Returns:
        nn.Module: What to call in its place, until the end of the pass.
    """
    if not is_eager():
        return module
    layers = linear_layers(module)
    if layers:
        return Unrolled(layers)
    children = {name: unroll(child) for name, child in module._modules.items()}
    if children == module._modules:
        return module
    view = copy.copy(module)
    view._modules = children
    return view


def linear_layers(module: nn.Module) -> Sequence[nn.Linear]:
    """The linear layers of which a module consists, with nothing but a ReLU between."""
    layers = ()
    if is_bare(module, nn.Linear):
        layers = (module,)
    elif is_bare(module, BottleneckMLP):
        first, relu, last = module
        if is_bare(first, nn.Linear) and is_bare(relu, nn.ReLU) and is_bare(last, nn.Linear):
            layers = first, last
    return layers if all(layer.bias is not None for layer in layers) else ()


class Unrolled(nn.Module):
    """Linear layers with ReLUs between, in one forward pass.

    Args:
        layers (Sequence[nn.Linear]): The layers, whose parameters this one uses.
    """

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        parameters = list(self.parameters())
        self.uses = Uses(gradients, *parameters) if torch.is_grad_enabled() else None
        self.constants = [p.detach() for p in parameters]

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layers to rows of shape (N, C)."""
        if self.uses is None:
            return apply_layers(x, self.constants)[-1]
        return UseLayers.apply(x, self.uses.token, self.uses, *self.constants)


class UseLayers(torch.autograd.Function):
    """One use of linear layers with ReLUs between."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, x: Tensor, token: Tensor, uses: Uses, *parameters: Tensor
    ) -> Tensor:
        """Apply the layers."""
        *kept, out = apply_layers(x, parameters)
        ctx.save_for_backward(*kept, *parameters[::2])
        ctx.uses = uses
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> Tuple[Tensor, ...]:
        """Note inputs and gradients of the layers, and compute the gradient of the input."""
        kept = ctx.saved_tensors
        inputs, weights = kept[: len(kept) // 2], kept[len(kept) // 2 :]
        notes = []
        for i in reversed(range(len(inputs))):
            notes.append((inputs[i], grad))
            grad = grad @ weights[i]
            if i:
                grad = torch.ops.aten.threshold_backward(grad, inputs[i], 0)
        ctx.uses.of_this_pass().append(notes[::-1])
        return grad, *(None for _ in range(2 + 2 * len(weights)))


def apply_layers(x: Tensor, parameters: Sequence[Tensor]) -> List[Tensor]:
    """Input and outputs of linear layers, all but the last rectified."""
    outs = [x, linear(x, *parameters[:2])]
    for i in range(2, len(parameters), 2):
        outs.append(linear(outs[-1].relu_(), *parameters[i : i + 2]))
    return outs


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """See :func:`torch.nn.functional.linear`; for rows of shape (N, C)."""
    widens = weight.shape[0] > weight.shape[1] and weight.numel() >= MANY_WEIGHTS
    if widens and x.shape[0] <= FEW_ROWS and x.device.type == 'cpu':
        return torch.addmm(bias[:, None], weight, x.contiguous().t()).t()
    return nn.functional.linear(x, weight, bias)


def gradients(notes: List[List[Tuple[Tensor, Tensor]]]) -> Tuple[Tensor, ...]:
    """Gradients of weights and biases, from inputs and output gradients of all uses."""
    grads = []
    for layer in zip(*notes):
        inputs, outputs = (torch.cat(rows) for rows in zip(*layer))
        grads += (outputs.t() @ inputs, outputs.sum(0))
    return tuple(grads)
