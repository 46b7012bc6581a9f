"""What all recurrent cells have in common."""

from typing import Optional, Tuple, Union

import torch
from mmengine.model import BaseModule, constant_init
from torch import Tensor, nn

from mmdia.utils import check_init_cfg, check_int

from ..utils import full_precision, like_parameters, record

State = Tuple[Tensor, ...]


class RecurrentCell(BaseModule):
    """A cell that reads one vector per block and remembers the blocks before.

    Called like :class:`torch.nn.LSTMCell`: ``h, c = cell(x, (h, c))``. The
    input and the hidden vector are projected separately and the sum of both
    projections drives the gates. Subclasses say how to project
    (:meth:`build_projection`) and what the gates do (:meth:`step`).

    Everything is computed in the precision of the weights, with autocast off.

    Args:
        in_channels (int): Length of the input vector.
        hidden_channels (int, optional): Length of the hidden vector and of
            the memory. Defaults to ``in_channels``.
        init_cfg (dict | list[dict], optional): Initialization config. Defaults to None.

    Attributes:
        num_gates (int): Number of gates.
    """

    num_gates: int

    def __init__(
        self,
        in_channels: int,
        hidden_channels: Optional[int] = None,
        init_cfg: Optional[Union[dict, list]] = None,
    ) -> None:
        hidden_channels = in_channels if hidden_channels is None else hidden_channels
        check_int('in_channels', in_channels)
        check_int('hidden_channels', hidden_channels)
        check_init_cfg('init_cfg', init_cfg)
        super().__init__(init_cfg)
        self.in_channels = in_channels
        self.hidden_channels = hidden_channels
        self.build_projections()

    def build_projections(self) -> None:
        """Build the modules that drive the gates."""
        gate_channels = self.num_gates * self.hidden_channels
        self.input_gates = self.build_projection(self.in_channels, gate_channels)
        self.hidden_gates = self.build_projection(self.hidden_channels, gate_channels)

    def build_projection(self, in_channels: int, out_channels: int) -> nn.Module:
        """Build the map from a vector to the pre-activations of all gates."""
        return nn.Linear(in_channels, out_channels)

    def gates(self, x: Tensor, hidden: Tensor, memory: Tensor) -> Tensor:
        """Compute the pre-activations of all gates.

        Args:
            x (Tensor): Input of shape (..., N, in_channels).
            hidden (Tensor): Hidden vector h of shape (N, hidden_channels).
            memory (Tensor): Memory c of shape (N, hidden_channels).

        Returns:
            Tensor: Pre-activations of shape (..., N, num_gates * hidden_channels).
        """
        return self.input_gates(x) + self.hidden_gates(hidden)

    def step(self, gates: Tuple[Tensor, ...], memory: Tensor) -> Tuple[Tensor, Tensor]:
        """Update the memory.

        Args:
            gates (Tuple[Tensor]): Pre-activations, ``num_gates`` tensors of
                shape (..., N, hidden_channels).
            memory (Tensor): The memory c of shape (N, hidden_channels).

        Returns:
            Tuple[Tensor, Tensor]: New hidden vector h and memory c, of the
            shape of the gates.
        """
        raise NotImplementedError

    def initial_state(self, x: Tensor) -> State:
        """The state before the first block.

        Args:
            x (Tensor): The first input, of shape (N, in_channels).

        Returns:
            Tuple[Tensor, Tensor]: Hidden vector h and memory c, of shape
            (N, hidden_channels) each; by default zeros.
        """
        zeros = x.new_zeros(x.shape[0], self.hidden_channels)
        return zeros, zeros

    def forward(self, x: Tensor, state: Optional[State] = None) -> Tuple[Tensor, Tensor]:
        """Read one vector, or several in the same state.

        Args:
            x (Tensor): Input of shape (..., N, in_channels).
            state (Tuple[Tensor, Tensor], optional): Hidden vector h and
                memory c of shape (N, hidden_channels) each. Defaults to None,
                which stands for :meth:`initial_state`, and inputs of shape
                (N, in_channels).

        Returns:
            Tuple[Tensor, Tensor]: New hidden vector h and memory c, of shape
            (..., N, hidden_channels) each.
        """
        with full_precision(x):
            if state is None:
                x = like_parameters(self, x)
                state = self.initial_state(x)
            hidden, memory = state
            gates = self.gates(x.to(hidden.dtype), hidden, memory)
            return self.step(gates.chunk(self.num_gates, dim=-1), memory)

    def zero_gate(self) -> float:
        """Zero the last layers of all gates, and return what h is from then on."""
        for projection in self.children():
            linear = [m for m in projection.modules() if isinstance(m, nn.Linear)]
            if linear:
                constant_init(linear[-1], 0)
        zero = torch.zeros((), device='cpu')  # also where weights are on no device yet
        hidden, _ = self.step((zero,) * self.num_gates, zero)
        return hidden.item()


def record_state(state: State) -> None:
    """Show the state of a cell, of several on top of each other that of the topmost."""
    hidden, memory = state
    while isinstance(memory, tuple):
        memory = memory[-1]
    record('hidden', hidden)
    record('memory', memory)


def update_memory(input_gate: Tensor, forget_gate: Tensor, new: Tensor, memory: Tensor) -> Tensor:
    """The memory update of the LSTM: forget a part, add a part of the new.

    Args:
        input_gate (Tensor): Pre-activation i of shape (..., N, C).
        forget_gate (Tensor): Pre-activation f of shape (..., N, C).
        new (Tensor): Pre-activation g of shape (..., N, C).
        memory (Tensor): Memory c of shape (N, C).

    Returns:
        Tensor: ``sigmoid(f) * c + sigmoid(i) * tanh(g)`` of shape (..., N, C).
    """
    kept = torch.sigmoid(forget_gate) * memory
    return torch.addcmul(kept, torch.sigmoid(input_gate), torch.tanh(new))
