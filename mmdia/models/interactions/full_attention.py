"""Layer attention in its full form: a block attends to all blocks before."""

from typing import NamedTuple, Optional, Tuple

import torch
from torch import Tensor, nn

from mmdia.registry import MODELS

from ..ops import normalize_with_recipe, rectify, weighted_sum
from ..utils import full_precision, global_avg_pool, record
from .layer_attention import LayerAttention, LayerAttentionUnit


class Memory(NamedTuple):
    """What is kept of the blocks of a stage, t of them so far.

    Args:
        values (Tuple[Tensor]): The values, t maps of shape (N, C, H, W).
        keys (Tensor): The keys, of shape (t, N, C).
        gains (Tensor, optional): Factors of the values, of shape (t, N, C).
            Defaults to None, which stands for ones.
    """

    values: Tuple[Tensor, ...]
    keys: Tensor
    gains: Optional[Tensor] = None


class FullLayerAttention(LayerAttentionUnit):
    """What one block adds in MRLA-base: the values of all blocks so far.

    ``scale * relu(norm(sum_t softmax_t(q . k_t / sqrt(d)) * g_t * V_t))``; see
    :class:`LayerAttentionUnit` for q, k, V and d.

    The scale is 1 and fixed. Where training starts from the plain network it
    is learned and starts from 0: zeroing the norm instead would stop all
    gradients at the ReLU.

    Args:
        channels (int): Number of channels C.
        *args: See :class:`LayerAttentionUnit`.
        identity_init (bool): Whether the scale is learned, and starts from 0.
            Defaults to False.
        **kwargs: See :class:`LayerAttentionUnit`.
    """

    def __init__(self, channels: int, *args, identity_init: bool = False, **kwargs) -> None:
        super().__init__(channels, *args, **kwargs)
        self.relu = nn.ReLU()
        scale = torch.ones(channels, 1, 1)
        if identity_init:
            self.scale = nn.Parameter(scale)
        else:
            self.register_buffer('scale', scale)

    def reset_parameters(self) -> None:
        """Give the scale its first values."""
        nn.init.ones_(self.scale)

    def forward(self, x: Tensor, query: Tensor, memory: Memory) -> Tensor:
        """Add attention to the output of a plain block.

        Args:
            x (Tensor): Output of the plain block, of shape (N, C, H, W).
            query (Tensor): The block's query of shape (N, C).
            memory (Memory): What is kept of all blocks, this one included.

        Returns:
            Tensor: Output of the block, of shape (N, C, H, W).
        """
        with full_precision(query):
            scores = self.scores(query, memory.keys).softmax(0)
            weights = self.per_channel(scores)
            if memory.gains is not None:
                weights = weights * memory.gains
        record('layer_score', scores, dim=1)
        attended = weighted_sum(weights, memory.values)
        (rectified,) = rectify(normalize_with_recipe(self.norm, attended), None, (self.relu,))
        # A copy, since distributed training writes all buffers anew before the next call.
        scale = self.scale.to(x.dtype, copy=True)
        return torch.addcmul(x, self.drop_path(rectified), scale)


@MODELS.register_module()
class MRLABase(LayerAttention):
    """MRLA-base (MRLA-B): every block attends to all blocks of its stage so far.

    ``x = act(identity + branch)``, ``out = x + attention(x, earlier)``; see
    :class:`FullLayerAttention`.

    Source: Fang et al., `Cross-Layer Retrospective Retrieving via Layer
    Attention <https://arxiv.org/abs/2302.03985>`_, section "MRLA-base", as
    the released code has it.

    Args:
        channels (int): Output channels of the blocks.
        num_blocks (int): Number of blocks.
        **kwargs: See :class:`LayerAttention`; the released ImageNet network has
            ``head_channels=16``.
    """

    def build_unit(self, *args) -> LayerAttentionUnit:
        return FullLayerAttention(*args, identity_init=self.identity_init)

    def remember(
        self, memory: Optional[Memory], pooled: Tensor, key: Tensor, value: Tensor
    ) -> Memory:
        """Add a block to the memory.

        Args:
            memory (Memory, optional): What is kept of earlier blocks.
            pooled (Tensor): Mean of the output of the plain block, of shape
                (N, C).
            key (Tensor): The block's key of shape (N, C).
            value (Tensor): The block's value of shape (N, C, H, W).

        Returns:
            Memory: What to attend to.
        """
        if memory is None:
            return Memory((value,), key[None])
        return Memory((*memory.values, value), torch.cat((memory.keys, key[None])))

    def attend(
        self, x: Tensor, value: Tensor, identity: Tensor, state: Optional[Memory], index: int
    ) -> Tuple[Tensor, Memory]:
        """See :meth:`LayerAttention.attend`; the state is a :class:`Memory`."""
        attention = self.attentions[index]
        pooled = global_avg_pool(x)
        query, key = attention.query_and_key(pooled)
        memory = self.remember(state, pooled, key, value)
        return attention(x, query, memory), memory

    def init_identity(self) -> None:
        """Zero the scales, so that the attention adds nothing."""
        for attention in self.attentions:
            nn.init.zeros_(attention.scale)
