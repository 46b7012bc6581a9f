"""The standard LSTM cell."""

from typing import Tuple

import torch
from torch import Tensor

from mmdia.registry import MODELS

from .base import RecurrentCell, State, update_memory


@MODELS.register_module()
class LSTMCell(RecurrentCell):
    """The standard LSTM cell, with the two bias vectors of PyTorch's.

    It computes what :class:`torch.nn.LSTMCell` does, as two linear layers.

    Source: Hochreiter and Schmidhuber, `Long Short-Term Memory
    <https://doi.org/10.1162/neco.1997.9.8.1735>`_.

    Args:
        *args: See :class:`RecurrentCell`.
        **kwargs: See :class:`RecurrentCell`.
    """

    num_gates = 4

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Give all weights their first values."""
        bound = self.hidden_channels**-0.5
        for parameter in self.parameters():
            torch.nn.init.uniform_(parameter, -bound, bound)

    def step(self, gates: Tuple[Tensor, ...], memory: Tensor) -> State:
        """See :meth:`RecurrentCell.step`; the gates are i, f, g, o."""
        i, f, g, o = gates
        memory = update_memory(i, f, g, memory)
        return torch.sigmoid(o) * torch.tanh(memory), memory
