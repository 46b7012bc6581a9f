"""Where hand-written backward passes can be used."""

from typing import Optional, Type

import torch
from torch import nn

try:
    from torch.compiler import is_compiling
except ImportError:  # old PyTorch
    from torch._dynamo import is_compiling


def is_eager() -> bool:
    """Whether operators run one by one, neither compiled nor traced nor exported."""
    return not is_compiling() and not torch.jit.is_tracing()


def has_hooks(*modules: nn.Module) -> bool:
    """Whether something waits for calls of modules, or changes what they return."""
    return any(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        for module in modules
    )


def is_bare(module: Optional[nn.Module], cls: Type[nn.Module]) -> bool:
    """Whether a module does what its class says: no subclass, and no hooks."""
    return type(module) is cls and not has_hooks(module)
