"""Maps that the backward pass computes again instead of keeping them."""

from typing import Any, List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.autograd.graph import saved_tensors_hooks

from ..utils.eager import is_unobserved
from .normalization import Source, source_of


class SourcedSum(torch.autograd.Function):
    """``branch + identity``, or the branch alone, which can be computed again from its source."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, branch: Tensor, identity: Optional[Tensor], *source: Any
    ) -> Tensor:
        """Compute the sum."""
        ctx.save_for_backward(identity, *source[:5])
        ctx.options = source[5:]
        return branch.view_as(branch) if identity is None else identity + branch

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        """Pass the gradient on."""
        others = (None for _ in ctx.needs_input_grad[2:])
        return grad, grad if ctx.needs_input_grad[1] else None, *others


class Rectified:
    """A rectified sum that is computed again, once for all that would save it.

    Args:
        node (SourcedSum): What computed the sum.
    """

    def __init__(self, node: Any) -> None:
        self.node = node
        self.saved = self.left = 0
        self.result: Optional[Tensor] = None

    @torch.no_grad()
    def take(self) -> Tensor:
        """The map, which is forgotten when it has been taken as often as it was saved."""
        if self.result is None:
            identity, *source = self.node.saved_tensors
            y = Source(*source, *self.node.options).again()
            self.result = torch.relu_(y if identity is None else y.add_(identity))
            self.left = self.saved
        result = self.result
        self.left -= 1
        if self.left == 0:
            self.result = None
        return result


def is_same(a: Tensor, b: Tensor) -> bool:
    """Whether two living tensors are one."""
    if a.data_ptr() != b.data_ptr() or a.dtype != b.dtype:
        return False
    return a.shape == b.shape and a.stride() == b.stride()


def rectify(
    branch: Tensor, identity: Optional[Tensor], modules: Sequence[nn.Module]
) -> List[Tensor]:
    """Apply modules, of which the first is an activation, to the sum of branch and shortcut.

    Where the branch carries its source, the backward pass computes the
    output of a ReLU again, which is then not kept for the modules that follow.

    Args:
        branch (Tensor): Map of shape (N, C, H, W).
        identity (Tensor, optional): Shortcut of the same shape; None for none.
        modules (Sequence[nn.Module]): An activation, and convolutions. Anything
            else, or a module that is watched, keeps what it saves.

    Returns:
        List[Tensor]: The output of each module.
    """
    source = source_of(branch)
    plain = type(modules[0]) is nn.ReLU and all(type(m) is nn.Conv2d for m in modules[1:])
    if source is None or not (plain and is_unobserved(*modules)):
        return apply(modules, branch if identity is None else identity + branch)
    x = SourcedSum.apply(branch, identity, *source)
    if x.grad_fn is None:
        return apply(modules, x)
    rectified, saved = Rectified(x.grad_fn), []

    def pack(tensor: Tensor) -> List[Optional[Tensor]]:
        saved.append([tensor])
        return saved[-1]

    def unpack(entry: List[Optional[Tensor]]) -> Tensor:
        return rectified.take() if entry[0] is None else entry[0]

    with saved_tensors_hooks(pack, unpack):
        outs = apply(modules, x)
    for entry in saved:
        if is_same(entry[0], outs[0]):
            entry[0] = None
            rectified.saved += 1
    return outs


def apply(modules: Sequence[nn.Module], x: Tensor) -> List[Tensor]:
    """The outputs of modules, one after the other."""
    outs = []
    for module in modules:
        x = module(x)
        outs.append(x)
    return outs
