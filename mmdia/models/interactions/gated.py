"""What interactions that gate the branch have in common."""

import torch
from torch import Tensor

from ..utils import scale_channels
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

    def join(self, branch: Tensor, identity: Tensor, gate: Tensor) -> Tensor:
        """Add the gated branch to the shortcut.

        Args:
            branch (Tensor): Output of the branch, of shape (N, C, H, W).
            identity (Tensor): Output of the shortcut, of the same shape.
            gate (Tensor): Gate of shape (N, C), or (N, 1) for all channels.

        Returns:
            Tensor: Output of the block, of shape (N, C, H, W).
        """
        return self.act(identity + scale_channels(branch, self.gate_scale * gate))

    def neutralize(self) -> None:
        """Zero the last linear layers of the gate."""
        raise NotImplementedError

    def init_identity(self) -> None:
        """See :meth:`LayerInteraction.init_identity`."""
        self.neutralize()
        self.gate_scale.fill_(1 / self.neutral_gate)
