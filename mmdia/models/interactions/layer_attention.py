"""What all forms of layer attention have in common."""

import math
from typing import Any, Optional, Tuple, Union

from mmcv.cnn.bricks import DropPath
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn

from mmdia.utils import check_int, check_rate

from ..ops import rectify
from ..utils import (
    build_norm_layer,
    channel_kernel_size,
    full_precision,
    like_parameters,
    repeat_entries,
)
from .base import LayerInteraction


class LayerAttentionUnit(BaseModule):
    """What one block owns of layer attention: query, key and value of its output.

    Query and key are convolutions across the channels of GAP(x), the value is
    a depthwise 3x3 convolution of x. Channels form heads.

    Args:
        channels (int): Number of channels C.
        head_channels (int): Channels d of a head. Defaults to 32.
        norm_cfg (dict): Config of the norm. Defaults to ``dict(type='BN')``.
        drop_path_rate (float): Probability to drop the term of a sample.
            Defaults to 0.

    Raises:
        TypeError: If ``head_channels`` is not an integer.
        ValueError: If ``head_channels`` does not divide ``channels``, or
            ``drop_path_rate`` is not in [0, 1).
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
        check_rate('attention_drop_path_rate', drop_path_rate)
        if channels % head_channels:
            raise ValueError(
                f'head_channels must divide the number of channels, {channels}, got {head_channels}'
            )
        self.head_channels = head_channels
        kernel_size = channel_kernel_size(channels)
        padding = kernel_size // 2
        self.query = nn.Conv1d(1, 1, kernel_size, padding=padding, bias=False)
        self.key = nn.Conv1d(1, 1, kernel_size, padding=padding, bias=False)
        # Before the value: tools fuse a norm into the convolution that precedes it.
        self.norm = build_norm_layer(norm_cfg, channels)[1]
        self.value = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.drop_path = DropPath(drop_path_rate) if drop_path_rate else nn.Identity()

    def query_and_key(self, pooled: Tensor) -> Tuple[Tensor, Tensor]:
        """Query and key of a block.

        Args:
            pooled (Tensor): Mean of the output of the plain block, of shape
                (N, C).

        Returns:
            Tuple[Tensor, Tensor]: Query and key of shape (N, C) each.
        """
        with full_precision(pooled):
            pooled = like_parameters(self.query, pooled)[:, None]
            return self.query(pooled)[:, 0], self.key(pooled)[:, 0]

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        """Scaled products of a query with keys, head by head.

        Args:
            query (Tensor): Query of shape (N, C).
            keys (Tensor): Keys of shape (..., N, C).

        Returns:
            Tensor: Scores of shape (..., N, C // head_channels).
        """
        products = (query * keys).unflatten(-1, (-1, self.head_channels)).sum(-1)
        return products / math.sqrt(self.head_channels)

    def per_channel(self, weights: Tensor) -> Tensor:
        """Repeat weights of heads, (..., heads), for their channels, (..., C)."""
        return repeat_entries(weights, self.head_channels)


class LayerAttention(LayerInteraction):
    """Base of interactions that add attention to earlier layers to each block.

    Every block has a unit of its own, which subclasses build
    (:meth:`build_unit`).

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

    uses_recipe = True

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
        self.attentions = ModuleList(
            self.build_unit(channels, head_channels, self.norm_cfg, attention_drop_path_rate)
            for _ in range(num_blocks)
        )

    def forward(
        self, branch: Tensor, identity: Tensor, state: Any, index: int
    ) -> Tuple[Tensor, Any]:
        x, value = rectify(branch, identity, (self.act, self.attentions[index].value))
        return self.attend(x, value, identity, state, index)

    def attend(
        self, x: Tensor, value: Tensor, identity: Tensor, state: Any, index: int
    ) -> Tuple[Tensor, Any]:
        """Add attention to the output of a plain block.

        Args:
            x (Tensor): Output of the plain block, of shape (N, C, H, W).
            value (Tensor): Value of ``x``, of shape (N, C, H, W).
            identity (Tensor): Shortcut of the block, of shape (N, C, H, W).
            state (Any): What the block before returned as state.
            index (int): Number of the block within the stage, from 0.

        Returns:
            Tuple[Tensor, Any]: Output of the block, of shape (N, C, H, W), and
            the state for the next block.
        """
        raise NotImplementedError

    def build_unit(self, *args) -> LayerAttentionUnit:
        """Build the unit of a block from the arguments of :class:`LayerAttentionUnit`."""
        raise NotImplementedError
