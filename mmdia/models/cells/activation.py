"""Activations that the papers compare in their cells."""

from typing import Callable, Sequence

import torch
from torch import Tensor


def identity(x: Tensor) -> Tensor:
    """The tensor itself."""
    return x


ACTIVATIONS = dict(sigmoid=torch.sigmoid, tanh=torch.tanh, relu=torch.relu, identity=identity)


def get_activation(argument: str, name: str, allowed: Sequence[str]) -> Callable[[Tensor], Tensor]:
    """The function that a name stands for.

    Args:
        argument (str): Name of the argument, for the message.
        name (str): Name of the activation.
        allowed (Sequence[str]): Names that may be given.

    Returns:
        Callable: The activation.

    Raises:
        ValueError: If the name is not allowed.
    """
    if name not in allowed:
        raise ValueError(f'{argument} must be one of {tuple(allowed)}, got {name!r}')
    return ACTIVATIONS[name]
