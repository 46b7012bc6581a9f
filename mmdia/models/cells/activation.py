"""Activations that the papers compare in their cells."""

import torch
from torch import Tensor


def identity(x: Tensor) -> Tensor:
    """The tensor itself."""
    return x


ACTIVATIONS = dict(sigmoid=torch.sigmoid, tanh=torch.tanh, relu=torch.relu, identity=identity)
