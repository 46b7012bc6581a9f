"""Cells on top of each other."""

from typing import Any, Sequence, Tuple

from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn

from .base import RecurrentCell


class StackedCell(BaseModule):
    """Recurrent cells, each of which reads the hidden vector of the one below.

    Called like a :class:`RecurrentCell`; its memory holds the states of all.

    Args:
        cells (Sequence[RecurrentCell]): The cells, of equal length, from the
            bottom.
        dropout (float): Probability to drop an entry of what a cell above the
            first reads, in training. Defaults to 0.1, as in DIANet's code.
    """

    def __init__(self, cells: Sequence[RecurrentCell], dropout: float = 0.1) -> None:
        super().__init__()
        self.cells = ModuleList(cells)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, state: Any = None) -> Tuple[Tensor, Tuple]:
        """Read one vector.

        Args:
            x (Tensor): Input of shape (N, C).
            state (Any): What the call before returned. Defaults to None, which
                stands for zeros.

        Returns:
            Tuple[Tensor, Tuple]: The topmost hidden vector, of shape (N, C),
            and the states (h, c) of all cells.
        """
        before = (None,) * len(self.cells) if state is None else state[1]
        states = []
        for cell, cell_state in zip(self.cells, before):
            if states:
                x = self.dropout(states[-1][0])
            states.append(cell(x, cell_state))
        return states[-1][0], tuple(states)

    def zero_gate(self) -> float:
        """See :meth:`RecurrentCell.zero_gate`; that of the topmost cell."""
        return self.cells[-1].zero_gate()
