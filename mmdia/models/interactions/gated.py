"""What interactions that gate the branch have in common."""

from typing import Any, Tuple

import torch
from torch import Tensor

from ..ops import gated_sum
from ..utils import global_avg_pool, record
from .base import LayerInteraction


class GatedInteraction(LayerInteraction):
    """Base of interactions that multiply the branch by a gate: see :meth:`join`.

    Fresh gates are far below 1. To start from the plain network, the gate is
    set to a constant (:meth:`zero_gate`), and a scale undoes that factor. The
    scale is part of the state dict, since weights that started so go with it
    ever after.

    Args:
        *args: See :class:`LayerInteraction`.
        **kwargs: See :class:`LayerInteraction`.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.register_buffer('gate_scale', torch.ones(()))

    def reset_parameters(self) -> None:
        """Give the scale its first value."""
        self.gate_scale.fill_(1)

    def join(self, branch: Tensor, identity: Tensor, gate: Tensor) -> Tensor:
        """Add the gated branch to the shortcut.

        Args:
            branch (Tensor): Output of the branch, of shape (N, C, H, W).
            identity (Tensor): Output of the shortcut, of the same shape.
            gate (Tensor): Gate of shape (N, C), or (N, 1) for all channels.

        Returns:
            Tensor: Output of the block, of shape (N, C, H, W).
        """
        # A copy, since distributed training writes all buffers anew before the next call.
        return self.act(gated_sum(branch, identity, self.gate_scale.clone() * gate))

    def zero_gate(self) -> float:
        """Zero the last layers of the gate, and return what it then is."""
        raise NotImplementedError

    def init_identity(self) -> None:
        """See :meth:`LayerInteraction.init_identity`.

        Raises:
            ValueError: If the gate is then zero, which no scale undoes.
        """
        gate = self.zero_gate()
        if not gate:
            raise ValueError(
                'identity_init=True needs a gate that is not zero where its last layers are, '
                f'got that of {type(self).__name__}'
            )
        self.gate_scale.fill_(1 / gate)


class PooledGate(GatedInteraction):
    """Base of interactions whose gate depends on nothing but the branch's mean.

    ``out = act(identity + gate * branch)`` with ``gate, state = gate(GAP(branch),
    state, index)``; see :meth:`gate`.
    """

    uses_recipe = True

    def gate(self, pooled: Tensor, state: Any, index: int) -> Tuple[Tensor, Any]:
        """Compute the gate of a block.

        Args:
            pooled (Tensor): The branch's mean over height and width, of shape
                (N, C), in single precision or better.
            state (Any): What the block before returned as state; None before
                the first block.
            index (int): Number of the block within the scope, from 0.

        Returns:
            Tuple[Tensor, Any]: Gate of shape (N, C) or (N, 1), and the state
            for the next block.
        """
        raise NotImplementedError

    def forward(
        self, branch: Tensor, identity: Tensor, state: Any, index: int
    ) -> Tuple[Tensor, Any]:
        gate, state = self.gate(global_avg_pool(branch), state, index)
        record('gate', gate)
        return self.join(branch, identity, gate), state
