"""Gradient checkpointing that leaves running statistics as they should be."""

from contextlib import ExitStack, nullcontext
from typing import Callable, ContextManager, Optional, Tuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class SparedBuffers(ExitStack):
    """A context in which a module updates copies of its buffers.

    It spares the running statistics of norms that are in training mode. It can
    be entered any number of times: a graph that is retained has its branches
    computed again in every backward pass.

    Args:
        module (nn.Module): The module whose buffers are meant.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def __enter__(self) -> 'SparedBuffers':
        for module in self.module.modules():
            if module.training:
                for name, buffer in module.named_buffers(recurse=False):
                    self.callback(setattr, module, name, buffer)
                    setattr(module, name, buffer.clone())
        return super().__enter__()


def checkpoint_module(
    module: nn.Module, function: Callable[..., Tensor], *args: Optional[Tensor]
) -> Tensor:
    """Compute a function of a module without keeping its activations.

    The backward pass computes them again. A plain checkpoint would then update
    the running statistics of norms a second time; this one does not.

    Args:
        module (nn.Module): The module that owns the norms in question.
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
        return nullcontext(), SparedBuffers(module)

    return checkpoint(function, *args, use_reentrant=False, context_fn=contexts)
