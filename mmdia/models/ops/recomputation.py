"""Maps that the backward pass computes again instead of keeping them."""

from typing import Any, Callable

from torch import Tensor
from torch.utils.checkpoint import checkpoint

from .eager import is_unobserved
from .normalization import Source, source_of


def recomputed(
    function: Callable[..., Any], branch: Tensor, *others: Tensor, calls: tuple = ()
) -> Any:
    """Call a function of a branch, and keep nothing of it where it can be computed again.

    That is from the input of the norm that the branch comes from, which is
    kept in any case. The backward pass calls the function once more, up to the
    last map that it needs.

    Args:
        function (Callable): The function; it draws no random numbers.
        branch (Tensor): Output of :func:`normalize`, of shape (N, C, H, W).
        *others (Tensor): Further inputs, which are kept.
        calls (Tuple[nn.Module]): The modules that the function calls. Where
            somebody watches them, everything is kept and they are called once.

    Returns:
        Any: ``function(branch, *others)``.
    """
    source = source_of(branch)
    if source is None or not is_unobserved(*calls):
        return function(branch, *others)
    first, learns, options = [branch], branch.requires_grad, source[5:]

    def compute(*tensors: Tensor) -> Any:
        if first:
            branch = first.pop()
        else:
            branch = Source(*tensors[:5], *options).again().requires_grad_(learns)
        return function(branch, *tensors[5:])

    return checkpoint(compute, *source[:5], *others, use_reentrant=False, preserve_rng_state=False)
