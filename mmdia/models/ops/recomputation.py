"""Maps that the backward pass computes again instead of keeping them."""

from contextlib import nullcontext
from functools import partial
from typing import Any, Callable, List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.autograd.graph import saved_tensors_hooks

from ..utils.eager import is_eager, is_unobserved

FORWARD = nn.BatchNorm2d.forward
NEEDED = ('weight', 'bias', 'running_mean', 'num_batches_tracked', 'momentum')


class Recipe(torch.autograd.Function):
    """A map as it is; its node says how it, or what follows, can be computed again."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, x: Tensor, compute: Callable[..., Tensor], *ingredients: Optional[Tensor]
    ) -> Tensor:
        """Save the ingredients; see :func:`with_recipe`."""
        ctx.compute = compute
        ctx.uses = ctx.left = 0
        ctx.result = ctx.recipe_version = None
        ctx.save_for_backward(*ingredients)
        ctx.mark_dirty(x)
        return x

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        """Pass the gradient on."""
        ctx.result = None  # nobody takes it any more
        return grad, *(None for _ in ctx.needs_input_grad[1:])


def with_recipe(
    x: Tensor, compute: Callable[..., Tensor], *ingredients: Optional[Tensor]
) -> Tensor:
    """Give a map a recipe, where gradients reach it.

    Args:
        x (Tensor): A map that no backward pass needs so far.
        compute (Callable): Takes the ingredients; returns the map.
        *ingredients (Tensor, optional): What is kept in its place.
    """
    if x.grad_fn is not None:
        x = Recipe.apply(x, compute, *ingredients)
        x.grad_fn.recipe_version = x._version
    return x


def recipe_of(x: Tensor) -> Optional[Any]:
    """The node of a map with a recipe; None where nobody needs one, or the map has changed."""
    eager = torch.is_grad_enabled() and is_eager(x)
    return x.grad_fn if eager and getattr(x.grad_fn, 'recipe_version', None) == x._version else None


@torch.no_grad()
def compute_again(node: Any) -> Tensor:
    """Follow a recipe, once for all that take the result."""
    if node.result is None:
        node.result = node.compute(*node.saved_tensors)
        node.left = node.uses
    result = node.result
    node.left -= 1
    if node.left <= 0:
        node.result = None
    return result


def identify(x: Tensor) -> Tuple:
    """What only the same of all living tensors has."""
    return x.data_ptr(), x.dtype, x.shape, x.stride()


def apply_recomputing(
    functions: Sequence[Callable[[Tensor], Tensor]], x: Tensor, node: Optional[Any], index: int = 0
) -> List[Tensor]:
    """Apply functions, one after the other, to a map, and do not keep what has a recipe.

    Args:
        functions (Sequence[Callable]): The functions.
        x (Tensor): The map.
        node (Any, optional): The node with the recipe; None to keep all.
        index (int): What the recipe is for: 0 for ``x``, 1 for the output of
            the first function. Defaults to 0.

    Returns:
        List[Tensor]: The output of each function.
    """
    saved, maps = [], [x]

    def pack(tensor: Tensor) -> List[Optional[Tensor]]:
        saved.append([tensor])
        return saved[-1]

    def unpack(entry: List[Optional[Tensor]]) -> Tensor:
        return compute_again(node) if entry[0] is None else entry[0]

    # disable_saved_tensors_hooks forbids to use them.
    allowed = node is not None and torch._C._autograd._saved_tensors_hooks_is_enabled()
    with saved_tensors_hooks(pack, unpack) if allowed else nullcontext():
        for function in functions:
            maps.append(function(maps[-1]))
    for entry in saved:
        if identify(entry[0]) == identify(maps[index]):
            entry[0] = None
            node.uses += 1
    return maps[1:]


def normalize_with_recipe(norm: nn.Module, x: Tensor) -> Tensor:
    """Apply a norm; whoever needs the output of a batch norm later can compute it again.

    The norm keeps its input for the backward pass in any case.

    Args:
        norm (nn.Module): Any norm.
        x (Tensor): Map of shape (N, C, H, W).

    Returns:
        Tensor: ``norm(x)``, with a recipe where the norm is a batch norm, its
        backward pass is to come, and nothing observes it.
    """
    known = (
        torch.is_grad_enabled()
        and is_eager(x)  # before the rest: tracers put parameters that are read into the graph
        and type(norm) is nn.BatchNorm2d
        and type(norm).forward is FORWARD
        and norm.track_running_stats
        and all(getattr(norm, name) is not None for name in NEEDED)
        and x.numel() > 0
        and is_unobserved(norm)
    )
    if not known:
        return norm(x)
    if norm.training:
        y, mean, var = normalize_by_batch(norm, x)
    else:
        # Copies, since a call in training may change them before the backward pass.
        y, mean, var = norm(x), norm.running_mean.clone(), norm.running_var.clone()
    compute = partial(F.batch_norm, eps=norm.eps)
    # Copies, since parameters that are sharded are gone once the block has been called.
    return with_recipe(y, compute, x, mean, var, norm.weight.clone(), norm.bias.clone())


def normalize_by_batch(norm: nn.BatchNorm2d, x: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
    """What a norm does in training, with the mean and the variance of the batch."""
    # With momentum 1, "running" statistics are those of the batch.
    mean, var = torch.zeros_like(norm.running_mean), torch.zeros_like(norm.running_var)
    y = F.batch_norm(x, mean, var, norm.weight, norm.bias, True, 1.0, norm.eps)
    norm.num_batches_tracked.add_(1)
    # As in torch, autograd is not to notice: graphs of earlier calls may hold them.
    norm.running_mean.data.lerp_(mean, norm.momentum)
    norm.running_var.data.lerp_(var, norm.momentum)
    count = x.numel() // x.shape[1]
    return y, mean, var * ((count - 1) / count)  # without Bessel's correction


def apply_module(module: nn.Module, x: Tensor) -> Tensor:
    """Apply a convolution or a norm to a map, and do not keep the map where it has a recipe.

    Args:
        module (nn.Module): Any module. Others, or those that are watched, keep
            what they save.
        x (Tensor): Map of shape (N, C, H, W).

    Returns:
        Tensor: ``module(x)``.
    """
    known = type(module) in (nn.Conv2d, nn.BatchNorm2d) and is_unobserved(module)
    return apply_recomputing((module,), x, recipe_of(x) if known else None)[0]


def rectify(
    branch: Tensor, identity: Optional[Tensor], modules: Sequence[nn.Module]
) -> List[Tensor]:
    """Apply modules, of which the first is an activation, to the sum of branch and shortcut.

    Where the branch has a recipe, the backward pass computes the output of a
    ReLU again, which is then not kept for the modules that follow.

    Args:
        branch (Tensor): Map of shape (N, C, H, W).
        identity (Tensor, optional): Shortcut of the same shape; None for none.
        modules (Sequence[nn.Module]): An activation, and convolutions. Anything
            else, or a module that is watched, keeps what it saves.

    Returns:
        List[Tensor]: The output of each module.
    """
    x = branch if identity is None else identity + branch
    plain = type(modules[0]) is nn.ReLU and all(type(m) is nn.Conv2d for m in modules[1:])
    node = recipe_of(branch)
    if node is None or not (plain and is_unobserved(*modules)):
        return apply_recomputing(modules, x, None)

    def compute(identity: Optional[Tensor]) -> Tensor:
        y = compute_again(node)
        return torch.relu(y) if identity is None else torch.relu_(identity + y)

    node.uses += 1
    x = Recipe.apply(x, compute, identity)
    return apply_recomputing(modules, x, x.grad_fn, index=1)
