"""Layer attention in its light form: a block attends to itself and the layer before."""

from typing import Any, Tuple

import torch
from torch import Tensor, nn

from mmdia.registry import MODELS

from ..ops import gated_sum
from ..utils import check_affine, full_precision, global_avg_pool, record
from .layer_attention import LayerAttention, LayerAttentionUnit


class LightLayerAttention(LayerAttentionUnit):
    """What one block adds in MRLA-light: its own value and the layer before.

    ``norm(sigmoid(q . k / sqrt(d)) * V(x) + lambda * previous)`` with a learned
    lambda a channel; see :class:`LayerAttentionUnit` for q, k, V and d.

    Args:
        channels (int): Number of channels C.
        *args: See :class:`LayerAttentionUnit`.
        **kwargs: See :class:`LayerAttentionUnit`.
    """

    def __init__(self, channels: int, *args, **kwargs) -> None:
        super().__init__(channels, *args, **kwargs)
        self.previous_weight = nn.Parameter(torch.randn(channels, 1, 1))

    def forward(self, x: Tensor, value: Tensor, pooled: Tensor, earlier: Tensor) -> Tensor:
        """Add attention to the output of a plain block.

        Args:
            x (Tensor): Output of the plain block, of shape (N, C, H, W).
            value (Tensor): Value of ``x``, of shape (N, C, H, W).
            pooled (Tensor): Mean of ``x`` over height and width, of shape
                (N, C).
            earlier (Tensor): What stands for the layer before, of shape
                (N, C, H, W).

        Returns:
            Tensor: Output of the block, of shape (N, C, H, W).
        """
        with full_precision(x):
            score = torch.sigmoid(self.scores(*self.query_and_key(pooled)))
            weight = self.per_channel(score)
        record('own_score', score)
        earlier = self.previous_weight.to(x.dtype) * earlier
        return x + self.drop_path(self.norm(gated_sum(value, earlier, weight)))


@MODELS.register_module()
class MRLALight(LayerAttention):
    """MRLA-light (MRLA-L): every block attends to itself and the one before.

    ``x = act(identity + branch)``, ``out = x + attention(x, identity)``; see
    :class:`LightLayerAttention`. The outputs are not rectified and may be
    negative.

    Source: Fang et al., `Cross-Layer Retrospective Retrieving via Layer
    Attention <https://arxiv.org/abs/2302.03985>`_, section "MRLA-light", as
    the released code has it: the shortcut stands for the attention output of
    the block before, one sigmoid for the softmax over a single score.

    Args:
        channels (int): Output channels of the blocks.
        num_blocks (int): Number of blocks.
        **kwargs: See :class:`LayerAttention`.

    Raises:
        ValueError: If ``identity_init`` is asked for and the norm has no
            weights.
    """

    def build_unit(self, *args) -> LayerAttentionUnit:
        return LightLayerAttention(*args)

    def attend(
        self, x: Tensor, value: Tensor, identity: Tensor, state: Any, index: int
    ) -> Tuple[Tensor, Any]:
        """See :meth:`LayerAttention.attend`; there is no state."""
        return self.attentions[index](x, value, global_avg_pool(x), identity), state

    def init_identity(self) -> None:
        """Zero the norms' weights, so that the attention adds nothing."""
        check_affine(self.attentions[0].norm, self.norm_cfg)
        for attention in self.attentions:
            nn.init.zeros_(attention.norm.weight)
