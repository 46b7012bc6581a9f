"""Maps that the backward pass computes again instead of keeping them."""

from typing import Any, Callable, List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.autograd.graph import saved_tensors_hooks

from ..utils.eager import is_eager, is_unobserved
from .normalization import Source, source_of
from .sums import add_up, halves, weighted_sum


class Recipe(torch.autograd.Function):
    """A map as it is, with the tensors from which it, or what follows, can be computed again."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, *ingredients: Optional[Tensor]) -> Tensor:
        """Save the ingredients."""
        ctx.save_for_backward(*ingredients)
        ctx.mark_dirty(x)
        return x

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        """Pass the gradient on."""
        return grad, *(None for _ in ctx.needs_input_grad[1:])


class Recomputed:
    """A map that is computed again, once for all that would save it.

    Args:
        node (Recipe): What has the ingredients.
        compute (Callable): Takes them, and returns the map.
    """

    def __init__(self, node: Any, compute: Callable[..., Tensor]) -> None:
        self.node = node
        self.compute = compute
        self.saved = self.left = 0
        self.result: Optional[Tensor] = None

    @torch.no_grad()
    def take(self) -> Tensor:
        """The map, which is forgotten when it has been taken as often as it was saved."""
        if self.result is None:
            self.result = self.compute(*self.node.saved_tensors)
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
    x = branch if identity is None else identity + branch
    plain = type(modules[0]) is nn.ReLU and all(type(m) is nn.Conv2d for m in modules[1:])
    if source is None or not (plain and is_unobserved(*modules)):
        return apply(modules, x)
    *tensors, eps, of_batch = source

    def compute(identity: Optional[Tensor], *tensors: Tensor) -> Tensor:
        y = Source(*tensors, eps, of_batch).again()
        return torch.relu_(y if identity is None else y.add_(identity))

    return apply_recomputing(modules, x, 1, compute, identity, *tensors)


def normalize_sum(
    norm: nn.Module, weights: Sequence[Tensor], maps: Sequence[Tensor]
) -> Tuple[Tensor, Tensor]:
    """Apply a norm to a :func:`weighted_sum`, which a batch norm then does not keep.

    The backward pass computes the sum again from the maps.

    Args:
        norm (nn.Module): Any norm.
        weights (Sequence[Tensor]): t weights of shape (N, C), or (1, C) for all
            samples.
        maps (Sequence[Tensor]): t maps of shape (N, C, H, W).

    Returns:
        Tuple[Tensor, Tensor]: What the norm returns, and the sum, of shape
        (N, C, H, W) each.
    """
    x = weighted_sum(weights, maps)
    if not (is_eager(x) and type(norm) is nn.BatchNorm2d and is_unobserved(norm)):
        return norm(x), x

    def compute(*weights_and_maps: Tensor) -> Tensor:
        return add_up(*halves(weights_and_maps))

    (y,) = apply_recomputing((norm,), x, 0, compute, *weights, *maps)
    return y, x


def apply_recomputing(
    modules: Sequence[nn.Module],
    x: Tensor,
    index: int,
    compute: Callable[..., Tensor],
    *ingredients: Optional[Tensor],
) -> List[Tensor]:
    """Apply modules, one after the other, to a map, and do not keep one of all these maps.

    Args:
        modules (Sequence[nn.Module]): The modules.
        x (Tensor): The map.
        index (int): Which map is not kept: 0 is ``x``, 1 the output of the
            first module.
        compute (Callable): Computes that map again from the ingredients.
        *ingredients (Tensor, optional): What is kept in its place.

    Returns:
        List[Tensor]: The output of each module.
    """
    # No gradients reach it, or disable_saved_tensors_hooks forbids what follows.
    if x.grad_fn is None or not torch._C._autograd._saved_tensors_hooks_is_enabled():
        return apply(modules, x)
    x = Recipe.apply(x, *ingredients)
    recomputed, saved = Recomputed(x.grad_fn, compute), []

    def pack(tensor: Tensor) -> List[Optional[Tensor]]:
        saved.append([tensor])
        return saved[-1]

    def unpack(entry: List[Optional[Tensor]]) -> Tensor:
        return recomputed.take() if entry[0] is None else entry[0]

    with saved_tensors_hooks(pack, unpack):
        outs = apply(modules, x)
    for entry in saved:
        if is_same(entry[0], (x, *outs)[index]):
            entry[0] = None
            recomputed.saved += 1
    return outs


def apply(modules: Sequence[nn.Module], x: Tensor) -> List[Tensor]:
    """The outputs of modules, one after the other."""
    outs = []
    for module in modules:
        x = module(x)
        outs.append(x)
    return outs
