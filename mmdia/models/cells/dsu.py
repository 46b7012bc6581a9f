"""The dynamic sharing unit of dynamic layer attention."""

from typing import Tuple

import torch
from torch import Tensor

from mmdia.registry import MODELS

from .base import State, update_memory
from .bottleneck import BottleneckCell


@MODELS.register_module()
class DSUCell(BottleneckCell):
    """The Dynamic Sharing Unit (DSU): a DIA cell without output gate.

    ``c = sigmoid(f) * c + sigmoid(i) * tanh(g)``, ``h = sigmoid(c)``, with
    (i, f, g) the sum of a bottleneck of the input and one of h.

    Source: Wang et al., `Strengthening Layer Interaction via Dynamic Layer
    Attention <https://arxiv.org/abs/2406.13392>`_, section "Dynamic Sharing
    Unit", as the released code computes it: separate bottlenecks with biases
    for input and hidden vector (the equations have one first layer without
    bias on ``[sigmoid(c), y]``), and c = h = 0 before the first block (the
    text: random c).

    Args:
        in_channels (int): Length of the input vector.
        hidden_channels (int, optional): Length of the hidden vector and of
            the memory. Defaults to ``in_channels``.
        ratio (int): Reduction ratio r. Defaults to 20.
        init_cfg (dict, optional): Initialization config. Defaults to None.
    """

    num_gates = 3

    def step(self, gates: Tuple[Tensor, ...], memory: Tensor) -> State:
        """See :meth:`RecurrentCell.step`; the gates are i, f, g."""
        i, f, g = gates
        memory = update_memory(i, f, g, memory)
        return torch.sigmoid(memory), memory
