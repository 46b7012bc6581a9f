"""Layer attention in its light form: a block attends to itself and the layer before."""

from typing import Any, Optional, Tuple

import torch
from torch import Tensor, nn

from mmdia.registry import MODELS
from mmdia.utils import check_choice

from ..ops import apply_module, weighted_sum
from ..utils import check_affine, full_precision, global_avg_pool, record
from .layer_attention import LayerAttention, LayerAttentionUnit


class LightLayerAttention(LayerAttentionUnit):
    """What one block adds in MRLA-light: its own value and the layer before.

    ``o = sigmoid(q . k / sqrt(d)) * V(x) + lambda * previous`` with a learned
    lambda a channel, and ``norm(o)``; see :class:`LayerAttentionUnit` for q, k,
    V and d.

    Args:
        channels (int): Number of channels C.
        *args: See :class:`LayerAttentionUnit`.
        weighting (str): ``'sigmoid'``, or ``'softmax'``, which over a single
            score is 1: there are no query and key then.
            Defaults to ``'sigmoid'``.
        **kwargs: See :class:`LayerAttentionUnit`.
    """

    def __init__(self, channels: int, *args, weighting: str = 'sigmoid', **kwargs) -> None:
        super().__init__(channels, *args, **kwargs)
        self.weighting = weighting
        if weighting == 'softmax':
            self.query = self.key = None
        self.previous_weight = nn.Parameter(torch.empty(channels, 1, 1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Give the weight of the layer before its first values."""
        nn.init.normal_(self.previous_weight)

    def forward(
        self, x: Tensor, value: Tensor, pooled: Tensor, earlier: Tensor
    ) -> Tuple[Tensor, Tensor]:
        """Add attention to the output of a plain block.

        Args:
            x (Tensor): Output of the plain block, of shape (N, C, H, W).
            value (Tensor): Value of ``x``, of shape (N, C, H, W).
            pooled (Tensor): Mean of ``x`` over height and width, of shape
                (N, C).
            earlier (Tensor): What stands for the layer before, of shape
                (N, C, H, W).

        Returns:
            Tuple[Tensor, Tensor]: Output of the block and the attention output
            o, of shape (N, C, H, W) each.
        """
        if self.weighting == 'softmax':
            attended = torch.addcmul(value, earlier, self.previous_weight.to(x.dtype))
            return x + self.drop_path(self.norm(attended)), attended
        with full_precision(x):
            score = torch.sigmoid(self.scores(*self.query_and_key(pooled)))
            weights = self.per_channel(score), self.previous_weight.flatten()[None]
        record('own_score', score)
        attended = weighted_sum(weights, (value, earlier), recompute=True)
        return x + self.drop_path(apply_module(self.norm, attended)), attended


@MODELS.register_module()
class MRLALight(LayerAttention):
    """MRLA-light (MRLA-L): every block attends to itself and the one before.

    ``x = act(identity + branch)``, ``out = x + attention(x, identity)``; see
    :class:`LightLayerAttention`. The outputs are not rectified and may be
    negative.

    Source: Fang et al., `Cross-Layer Retrospective Retrieving via Layer
    Attention <https://arxiv.org/abs/2302.03985>`_, section "MRLA-light". By
    default as the released code has it: the shortcut stands for the attention
    output of the block before, one sigmoid for the softmax over a single score.
    ``previous='attention', weighting='softmax'`` are the equations.

    Args:
        channels (int): Output channels of the blocks.
        num_blocks (int): Number of blocks.
        previous (str): What stands for the layer before: the ``'shortcut'``, or
            the ``'attention'`` output of the block before, which is zero before
            the first block. Defaults to ``'shortcut'``.
        weighting (str): What weighs a block's own value: the ``'sigmoid'`` of
            its score, or the ``'softmax'``, which is 1.
            Defaults to ``'sigmoid'``.
        **kwargs: See :class:`LayerAttention`.

    Raises:
        ValueError: If ``previous`` or ``weighting`` is not allowed, or
            ``identity_init`` is asked for and the norm has no weights.
    """

    def __init__(
        self,
        channels: int,
        num_blocks: int,
        previous: str = 'shortcut',
        weighting: str = 'sigmoid',
        **kwargs,
    ) -> None:
        check_choice('previous', previous, ('shortcut', 'attention'))
        check_choice('weighting', weighting, ('sigmoid', 'softmax'))
        self.previous = previous
        self.weighting = weighting
        super().__init__(channels, num_blocks, **kwargs)

    def build_unit(self, *args) -> LayerAttentionUnit:
        return LightLayerAttention(*args, weighting=self.weighting)

    def layer_before(self, identity: Tensor, attended: Optional[Tensor]) -> Tensor:
        """What stands for the layer before.

        Args:
            identity (Tensor): Shortcut of the block, of shape (N, C, H, W).
            attended (Tensor, optional): Attention output of the block before,
                of the same shape; None before the first block.

        Returns:
            Tensor: A map of the same shape.
        """
        if self.previous == 'shortcut':
            return identity
        return torch.zeros_like(identity) if attended is None else attended

    def attend(
        self, x: Tensor, value: Tensor, identity: Tensor, state: Any, index: int
    ) -> Tuple[Tensor, Any]:
        """See :meth:`LayerAttention.attend`; the state is the attention output, if it is read."""
        earlier = self.layer_before(identity, state)
        out, attended = self.attentions[index](x, value, global_avg_pool(x), earlier)
        return out, attended if self.previous == 'attention' else None

    def init_identity(self) -> None:
        """Zero the norms' weights, so that the attention adds nothing."""
        check_affine(self.attentions[0].norm, self.norm_cfg)
        for attention in self.attentions:
            nn.init.zeros_(attention.norm.weight)
