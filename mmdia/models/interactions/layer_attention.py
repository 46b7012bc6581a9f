"""Layer attention: a block attends to what earlier blocks have computed."""

import math
from typing import Any, Optional, Tuple, Union

import torch
from mmcv.cnn import build_norm_layer
from mmcv.cnn.bricks import DropPath
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmdia.registry import MODELS
from mmdia.utils import check_int

from ..utils import full_precision, global_avg_pool, scale_channels
from .base import LayerInteraction


def channel_kernel_size(channels: int) -> int:
    """Kernel size of a convolution across channels: odd, growing with log2(C).

    Source: eq. 12 of `ECA-Net <https://arxiv.org/abs/1910.03151>`_, with
    gamma = 2 and b = 1.
    """
    size = int((math.log2(channels) + 1) / 2)
    return size if size % 2 else size + 1


class LightLayerAttention(BaseModule):
    """What one block adds in MRLA-light: its own value and the layer before.

    ``norm(sigmoid(q . k / sqrt(d)) * V(x) + lambda * previous)`` with q and k
    convolutions across the channels of GAP(x), V a depthwise 3x3 convolution,
    d the channels of a head, and a learned lambda a channel.

    Args:
        channels (int): Number of channels C.
        head_channels (int): Channels d of a head. Defaults to 32.
        norm_cfg (dict): Config of the norm. Defaults to ``dict(type='BN')``.
        drop_path_rate (float): Probability to drop the term of a sample.
            Defaults to 0.

    Raises:
        TypeError: If ``head_channels`` is not an integer.
        ValueError: If ``head_channels`` does not divide ``channels``.
    """

    def __init__(
        self,
        channels: int,
        head_channels: int = 32,
        norm_cfg: dict = dict(type='BN'),
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        check_int('head_channels', head_channels)
        if channels % head_channels:
            raise ValueError(
                f'head_channels must divide the number of channels, {channels}, got {head_channels}'
            )
        self.head_channels = head_channels
        kernel_size = channel_kernel_size(channels)
        padding = kernel_size // 2
        self.query = nn.Conv1d(1, 1, kernel_size, padding=padding, bias=False)
        self.key = nn.Conv1d(1, 1, kernel_size, padding=padding, bias=False)
        self.value = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.previous_weight = nn.Parameter(torch.randn(channels, 1, 1))
        self.norm = build_norm_layer(norm_cfg, channels)[1]
        self.drop_path = DropPath(drop_path_rate) if drop_path_rate else nn.Identity()

    def attention(self, x: Tensor) -> Tensor:
        """Attention of the block to its own value.

        Args:
            x (Tensor): Feature map of shape (N, C, H, W).

        Returns:
            Tensor: Weights in 0 ... 1 of shape (N, C), equal within a head.
        """
        with full_precision(x):
            pooled = global_avg_pool(x).to(self.query.weight.dtype)[:, None]
            product = self.query(pooled) * self.key(pooled)
            score = product.unflatten(2, (-1, self.head_channels)).sum(-1)
            weight = torch.sigmoid(score / math.sqrt(self.head_channels))
        return weight[:, 0].repeat_interleave(self.head_channels, dim=1)

    def forward(self, x: Tensor, previous: Tensor) -> Tensor:
        """Compute the term that the block adds to its output.

        Args:
            x (Tensor): Output of the plain block, of shape (N, C, H, W).
            previous (Tensor): What stands for the earlier layers, of the same
                shape.

        Returns:
            Tensor: The term, of the same shape.
        """
        own = scale_channels(self.value(x), self.attention(x))
        earlier = self.previous_weight.to(previous.dtype) * previous
        return self.drop_path(self.norm(own + earlier))


@MODELS.register_module()
class MRLALight(LayerInteraction):
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
        head_channels (int): Channels of an attention head. Defaults to 32.
        attention_drop_path_rate (float): Probability to drop the attention
            term of a sample in training. Defaults to 0.
        init_cfg (dict | list[dict], optional): Initialization config.
            Defaults to Kaiming-normal (fan out) convolutions.
        **kwargs: See :class:`LayerInteraction`.
    """

    def __init__(
        self,
        channels: int,
        num_blocks: int,
        head_channels: int = 32,
        attention_drop_path_rate: float = 0.0,
        init_cfg: Optional[Union[dict, list]] = dict(type='Kaiming', layer='Conv2d'),
        **kwargs,
    ) -> None:
        super().__init__(channels, num_blocks, init_cfg=init_cfg, **kwargs)
        self.attentions = nn.ModuleList(
            LightLayerAttention(channels, head_channels, self.norm_cfg, attention_drop_path_rate)
            for _ in range(num_blocks)
        )

    def forward(
        self, branch: Tensor, identity: Tensor, state: Any, index: int
    ) -> Tuple[Tensor, Any]:
        """See :meth:`LayerInteraction.forward`; there is no state."""
        x = self.act(identity + branch)
        return x + self.attentions[index](x, identity), state

    def init_identity(self) -> None:
        """Zero the norms' weights, so that the attention adds nothing."""
        for attention in self.attentions:
            nn.init.zeros_(attention.norm.weight)
