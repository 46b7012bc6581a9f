"""Layer attention in its full form: a block attends to all blocks before."""

from typing import NamedTuple, Optional, Tuple

import torch
from torch import Tensor, nn

from mmdia.registry import MODELS

from ..ops import Kept, can_normalize, is_eager, keep, normalize, recomputed_relu, weighted_sum
from ..utils import full_precision, global_avg_pool
from .layer_attention import LayerAttention, LayerAttentionUnit


class Memory(NamedTuple):
    """What is kept of the blocks of a stage, t of them so far.

    Args:
        values (Tuple[Kept]): The values, t maps of shape (N, C, H, W).
        keys (Tensor): The keys, of shape (t, N, C).
        pooled (Tensor): The values' means over height and width, of shape
            (t, N, C).
        gains (Tensor): Factors of the values, of shape (t, N, C).
        cell (Tuple, optional): The recurrent cell, and its state (h, c).
    """

    values: Tuple[Kept, ...]
    keys: Tensor
    pooled: Tensor
    gains: Tensor
    cell: Optional[Tuple[nn.Module, Tuple[Tensor, Tensor]]] = None


def empty_memory(key: Tensor) -> Memory:
    """The memory before the first block, for keys of shape (N, C)."""
    empty = key.new_zeros(0, *key.shape)
    return Memory(values=(), keys=empty, pooled=empty, gains=empty)


def remember(memory: Memory, key: Tensor, value: Tensor) -> Memory:
    """Add a block to the memory.

    Args:
        memory (Memory): What is kept of earlier blocks.
        key (Tensor): The block's key of shape (N, C).
        value (Tensor): The block's value of shape (N, C, H, W).

    Returns:
        Memory: What is kept of all blocks.
    """
    pooled = global_avg_pool(value).to(key.dtype)
    return memory._replace(
        values=(*memory.values, keep(value)),
        keys=torch.cat((memory.keys, key[None])),
        pooled=torch.cat((memory.pooled, pooled[None])),
        gains=torch.cat((memory.gains, torch.ones_like(key)[None])),
    )


class FullLayerAttention(LayerAttentionUnit):
    """What one block adds in MRLA-base: the values of all blocks so far.

    ``scale * relu(norm(sum_t softmax_t(q . k_t / sqrt(d)) * g_t * V_t))``; see
    :class:`LayerAttentionUnit` for q, k, V and d.

    The scale is 1 and fixed. Where training starts from the plain network it
    is learned and starts from 0: no other weight could do that here, since no
    gradient passes a ReLU that returns zeros.

    Args:
        channels (int): Number of channels C.
        *args: See :class:`LayerAttentionUnit`.
        learn_scale (bool): Whether the scale is learned. Defaults to False.
        **kwargs: See :class:`LayerAttentionUnit`.
    """

    def __init__(self, channels: int, *args, learn_scale: bool = False, **kwargs) -> None:
        super().__init__(channels, *args, **kwargs)
        scale = torch.ones(channels, 1, 1)
        if learn_scale:
            self.scale = nn.Parameter(scale)
        else:
            self.register_buffer('scale', scale)

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
            weights = self.scores(query, memory.keys).softmax(0)
            weights = self.per_channel(weights) * memory.gains
        attended = weighted_sum(weights, memory.values)
        scale = self.scale.to(attended.dtype)
        if not (torch.is_grad_enabled() and is_eager() and can_normalize(self.norm)):
            return torch.addcmul(x, self.drop_path(torch.relu_(self.norm(attended))), scale)
        source = normalize(self.norm, attended)
        with recomputed_relu(source):
            return torch.addcmul(x, self.drop_path(torch.relu_(source.map)), scale)


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
        """See :meth:`LayerAttention.build_unit`."""
        return FullLayerAttention(*args, learn_scale=self.identity_init)

    def refresh(self, memory: Memory, pooled: Tensor) -> Memory:
        """Renew what is kept of earlier blocks; here it stays as it is.

        Args:
            memory (Memory): What is kept of earlier blocks.
            pooled (Tensor): Mean of the output of the plain block, of shape
                (N, C).

        Returns:
            Memory: What to attend to.
        """
        return memory

    def attend(
        self, x: Tensor, identity: Tensor, state: Optional[Memory], index: int
    ) -> Tuple[Tensor, Memory]:
        """See :meth:`LayerAttention.attend`; the state is a :class:`Memory`."""
        attention = self.attentions[index]
        pooled = global_avg_pool(x)
        query, key = attention.query_and_key(pooled)
        earlier = empty_memory(key) if state is None else state
        memory = remember(self.refresh(earlier, pooled), key, attention.value(x))
        return attention(x, query, memory), memory

    def init_identity(self) -> None:
        """Zero the scales, so that the attention adds nothing."""
        for attention in self.attentions:
            nn.init.zeros_(attention.scale)
