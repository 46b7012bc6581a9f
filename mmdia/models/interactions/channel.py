"""Attentions in the branch: one per block, or one for all blocks of a stage."""

from typing import Any, Tuple

import torch
from mmengine.model import ModuleList
from torch import Tensor

from mmdia.registry import MODELS
from mmdia.utils import check_bool

from ..attentions import Attention, build_attention
from .gated import GatedInteraction


class AttentionInteraction(GatedInteraction):
    """Base of interactions that put an attention in the branch: see :meth:`attend`.

    ``out = act(identity + attention(branch))``, where the attention sees one
    block at a time; nothing is carried along depth.

    Args:
        *args: See :class:`LayerInteraction`.
        **kwargs: See :class:`LayerInteraction`.
    """

    def attend(self, branch: Tensor, index: int) -> Tensor:
        """Apply the attention of a block.

        Args:
            branch (Tensor): Output of the branch, of shape (N, C, H, W).
            index (int): Number of the block.

        Returns:
            Tensor: The recalibrated branch, of the same shape.
        """
        raise NotImplementedError

    def forward(
        self, branch: Tensor, identity: Tensor, state: Any, index: int
    ) -> Tuple[Tensor, Any]:
        """See :meth:`LayerInteraction.forward`; there is no state."""
        attended = self.attend(branch, index)
        scale = self.gate_scale.to(attended.dtype, copy=True)  # as in GatedInteraction.join
        return self.act(torch.addcmul(identity, attended, scale)), state

    def zero_gate(self) -> float:
        modules = (m for m in self.modules() if isinstance(m, Attention))
        (gate,) = {attention.zero_gate() for attention in modules}
        return gate


@MODELS.register_module()
class BlockAttention(AttentionInteraction):
    """One attention per block, as in SENet, ECA-Net and their like.

    ``out = act(identity + attention[index](branch))``.

    Args:
        channels (int): Output channels of the blocks.
        num_blocks (int): Number of blocks.
        attention (dict): Config of the attention; see
            :class:`~mmdia.models.Attention`.
            Defaults to ``dict(type='mmdia.SE')``.
        **kwargs: See :class:`LayerInteraction`.

    Raises:
        TypeError: If ``attention`` is not the config of an attention.
        ValueError: If its type is missing or not registered.
    """

    def __init__(
        self,
        channels: int,
        num_blocks: int,
        attention: dict = dict(type='mmdia.SE'),
        **kwargs,
    ) -> None:
        super().__init__(channels, num_blocks, **kwargs)
        self.attentions = ModuleList(
            build_attention(attention, channels, norm_cfg=self.norm_cfg) for _ in range(num_blocks)
        )

    def attend(self, branch: Tensor, index: int) -> Tensor:
        return self.attentions[index](branch)


@MODELS.register_module()
class SharedAttention(AttentionInteraction):
    """One attention for all blocks of a stage: the DIA framework.

    ``out = act(identity + attention(branch))``. The parameters do not grow
    with depth, but for norms that keep statistics, of which there is one a
    block by default.

    Source: Huang et al., `DIANet: Dense-and-Implicit Attention Network
    <https://arxiv.org/abs/1905.10671>`_; with more attentions: Huang et al.,
    `Layer-wise Shared Attention Network on Dynamical System Perspective
    <https://arxiv.org/abs/2210.16101>`_, section 4.1, and 7.3 on the norms.

    Args:
        channels (int): Output channels of the blocks.
        num_blocks (int): Number of blocks.
        attention (dict): Config of the attention; see
            :class:`~mmdia.models.Attention`.
            Defaults to ``dict(type='mmdia.SE')``.
        share_norms (bool): Whether blocks share norms that keep statistics as
            well, an ablation: accuracy collapses (Fig. 11 of the latter, with
            SRM). Defaults to False.
        **kwargs: See :class:`LayerInteraction`.

    Raises:
        TypeError: If ``attention`` is not the config of an attention, or
            ``share_norms`` not a bool.
        ValueError: If the type of ``attention`` is missing or not registered.
    """

    def __init__(
        self,
        channels: int,
        num_blocks: int,
        attention: dict = dict(type='mmdia.SE'),
        share_norms: bool = False,
        **kwargs,
    ) -> None:
        super().__init__(channels, num_blocks, **kwargs)
        check_bool('share_norms', share_norms)
        self.share_norms = share_norms
        num_norms = 1 if share_norms else num_blocks
        self.attention = build_attention(attention, channels, num_norms, self.norm_cfg)

    def attend(self, branch: Tensor, index: int) -> Tensor:
        return self.attention(branch, 0 if self.share_norms else index)
