"""Where hand-written backward passes can be used."""

import torch


def is_eager() -> bool:
    """Whether operators run one by one, neither compiled nor traced nor exported."""
    compiling = hasattr(torch.compiler, 'is_compiling') and torch.compiler.is_compiling()
    return not compiling and not torch.jit.is_tracing()
