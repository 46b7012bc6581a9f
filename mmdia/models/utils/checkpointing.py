"""Gradient checkpointing that leaves running statistics as they should be."""

from contextlib import contextmanager, nullcontext
from typing import Callable, ContextManager, Iterator, Optional, Tuple

import torch
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


@contextmanager
def spared_statistics(module: nn.Module) -> Iterator[None]:
    """Let the batch norms of a module update copies of their running statistics.

    Args:
        module (nn.Module): The module whose batch norms are meant.
    """
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.training]
    kept = [dict(norm.named_buffers(recurse=False)) for norm in norms]
    for norm, buffers in zip(norms, kept):
        for name, buffer in buffers.items():
            setattr(norm, name, buffer.clone())
    try:
        yield
    finally:
        for norm, buffers in zip(norms, kept):
            for name, buffer in buffers.items():
                setattr(norm, name, buffer)


def checkpoint_module(
    module: nn.Module, function: Callable[..., Tensor], *args: Optional[Tensor]
) -> Tensor:
    """Compute a function of a module without keeping its activations.

    The backward pass computes them again. A plain checkpoint would then update
    the running statistics of batch norms a second time; this one does not.

    Args:
        module (nn.Module): The module that owns the batch norms in question.
        function (Callable): What to compute; usually a method of the module.
        *args (Tensor, optional): Its inputs.

    Returns:
        Tensor: ``function(*args)``.
    """
    # torch 2.1 has no is_compiling, nor does it compile checkpoints.
    if hasattr(torch.compiler, 'is_compiling') and torch.compiler.is_compiling():
        # The compiler updates statistics once by itself, and takes no contexts.
        return checkpoint(function, *args, use_reentrant=False)

    def contexts() -> Tuple[ContextManager, ContextManager]:
        return nullcontext(), spared_statistics(module)

    return checkpoint(function, *args, use_reentrant=False, context_fn=contexts)
