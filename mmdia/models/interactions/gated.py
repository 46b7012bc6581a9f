"""What interactions that gate the branch have in common."""

from typing import Any, Optional, Tuple

import torch
from torch import Tensor, nn

from ..ops import Expansion, Normalized, can_expand, can_open, gated_sum, normalize
from ..utils import global_avg_pool
from .base import LayerInteraction


class GatedInteraction(LayerInteraction):
    """Base of interactions that multiply the branch by a gate: see :meth:`join`.

    Fresh gates are far below 1. To start from the plain network, subclasses
    say what their gate is where its last linear layers are zero
    (``neutral_gate``) and set it so (:meth:`neutralize`); a scale undoes the
    factor. The scale is part of the state dict, since weights that started so
    go with it ever after.

    Args:
        *args: See :class:`LayerInteraction`.
        **kwargs: See :class:`LayerInteraction`.
    """

    neutral_gate: float

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.register_buffer('gate_scale', torch.ones(()))

    def join(
        self,
        branch: Tensor,
        identity: Tensor,
        gate: Tensor,
        source: Optional[Normalized] = None,
    ) -> Tensor:
        """Add the gated branch to the shortcut.

        Args:
            branch (Tensor): Output of the branch, of shape (N, C, H, W).
            identity (Tensor): Output of the shortcut, of the same shape.
            gate (Tensor): Gate of shape (N, C), or (N, 1) for all channels.
            source (Normalized, optional): See :func:`gated_sum`.

        Returns:
            Tensor: Output of the block, of shape (N, C, H, W).
        """
        return gated_sum(branch, identity, self.gate_scale * gate, self.act, source)

    def neutralize(self) -> None:
        """Zero the last linear layers of the gate."""
        raise NotImplementedError

    def init_identity(self) -> None:
        """See :meth:`LayerInteraction.init_identity`."""
        self.neutralize()
        self.gate_scale.fill_(1 / self.neutral_gate)


class PooledGate(GatedInteraction):
    """Base of interactions whose gate depends on nothing but the branch's mean.

    ``out = act(identity + gate * branch)`` with ``gate, state = gate(GAP(branch),
    state, index)``; see :meth:`gate`.

    Attributes:
        reads_mean_only (bool): Whether that is so; it may be a matter of
            arguments. Otherwise ``forward`` has to be overridden.
    """

    reads_mean_only = True

    def gate(self, pooled: Tensor, state: Any, index: int) -> Tuple[Tensor, Any]:
        """Compute the gate of a block.

        Args:
            pooled (Tensor): The branch's mean over height and width, of shape
                (N, C).
            state (Any): What the block before returned as state.
            index (int): Number of the block within the scope, from 0.

        Returns:
            Tuple[Tensor, Any]: Gate of shape (N, C) or (N, 1), and the state
            for the next block.
        """
        raise NotImplementedError

    def forward(
        self, branch: Tensor, identity: Tensor, state: Any, index: int
    ) -> Tuple[Tensor, Any]:
        """See :meth:`LayerInteraction.forward`."""
        gate, state = self.gate(global_avg_pool(branch), state, index)
        return self.join(branch, identity, gate), state

    def run(self, block: nn.Module, x: Tensor, state: Any, index: int) -> Tuple[Tensor, Any]:
        """See :meth:`LayerInteraction.run`; the branch is not kept for the backward pass."""
        if not (self.reads_mean_only and can_open(block, self)):
            return super().run(block, x, state, index)
        body, identity = block.body(x), block.shortcut(x)
        if can_expand(block, self, body):
            branch = Expansion(block.last_conv, block.last_norm)
            gate, state = self.gate(branch.pool(body), state, index)
            return self.act(branch.add(body, identity, self.gate_scale * gate)), state
        source = normalize(block.last_norm, block.last_conv(body))
        gate, state = self.gate(global_avg_pool(source.map), state, index)
        return self.join(source.map, identity, gate, source), state
