"""Maps that the backward pass computes again instead of keeping them."""

from typing import Any, Callable, Tuple

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .eager import is_unobserved
from .normalization import Source, source_of


def recomputed(
    function: Callable[..., Any], branch: Tensor, *others: Tensor, calls: Tuple[nn.Module, ...] = ()
) -> Any:
    """Call a function of a branch, and keep nothing of it where it can be computed again.

    That is from the input of the norm that the branch comes from, which is
    kept in any case. The backward pass calls the function once more, up to the
    last map that it needs.

    Args:
        function (Callable): The function; it draws no random numbers.
        branch (Tensor): Map of shape (N, C, H, W); what is computed from one
            without a :class:`Source` is kept.
        *others (Tensor): Further inputs, which are kept.
        calls (Tuple[nn.Module]): The modules that the function calls. Unless
            they are plain ReLUs and convolutions that nothing watches,
            everything is kept and they are called once.

    Returns:
        Any: ``function(branch, *others)``.
    """
    source = source_of(branch)
    repeatable = all(type(module) in (nn.ReLU, nn.Conv2d) for module in calls)
    if source is None or not (repeatable and is_unobserved(*calls)):
        return function(branch, *others)
    # The first call takes the branch, and frees it; the second computes it again.
    first, learns, options = [branch], branch.requires_grad, source[5:]

    def compute(*tensors: Tensor) -> Any:
        if first:
            branch = first.pop()
        else:
            branch = Source(*tensors[:5], *options).again().requires_grad_(learns)
        return function(branch, *tensors[5:])

    return checkpoint(compute, *source[:5], *others, use_reentrant=False, preserve_rng_state=False)
