"""The simplest recurrent cell."""

from typing import Tuple

import torch
from torch import Tensor

from mmdia.registry import MODELS

from .base import RecurrentCell, State


@MODELS.register_module()
class RNNCell(RecurrentCell):
    """Elman's recurrent cell: ``h = tanh(W x + U h)``, with two biases.

    It computes what :class:`torch.nn.RNNCell` does. The memory is h itself. See
    :class:`RecurrentCell` for the arguments.
    """

    num_gates = 1

    def step(self, gates: Tuple[Tensor, ...], memory: Tensor) -> State:
        (gate,) = gates
        hidden = torch.tanh(gate)
        return hidden, hidden
