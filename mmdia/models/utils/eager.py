"""Where hand-written backward passes can be used: where nothing observes them."""

from typing import Any

import torch
from mmengine.utils import digit_version
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.modules import module as hooks

try:
    from torch.compiler import is_compiling
except ImportError:  # old PyTorch
    from torch._dynamo import is_compiling

# The compiler of PyTorch 2.1 cannot follow the loop over the blocks of a stage.
CAN_COMPILE = digit_version(torch.__version__) >= digit_version('2.4')
HOOKS_OF_ALL_MODULES = (
    hooks._global_forward_hooks,
    hooks._global_forward_pre_hooks,
    hooks._global_backward_hooks,
    hooks._global_backward_pre_hooks,
)


def is_eager(x: Any) -> bool:
    """Whether operators on a tensor run one by one: neither compiled, traced nor transformed.

    Not so where ``x`` is a proxy of symbolic tracing, or of a subclass, whose operators may do
    anything.
    """
    return (
        type(x) in (Tensor, nn.Parameter)
        and not is_compiling()
        and not torch.jit.is_tracing()
        and not torch._C._are_functorch_transforms_active()
        and forward_ad._current_level < 0
    )


def is_watched(module: nn.Module) -> bool:
    """Whether a module has hooks of its own, or a patched ``forward``."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or 'forward' in module.__dict__
    )


def is_unobserved(*modules: nn.Module) -> bool:
    """Whether nobody can tell whether modules are called: no hooks, and no patched ``forward``."""
    return not (any(HOOKS_OF_ALL_MODULES) or any(map(is_watched, modules)))
