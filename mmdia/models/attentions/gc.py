"""Global context."""

from typing import Optional, Sequence, Union

import torch
from mmcv.cnn import ContextBlock
from mmengine.model import constant_init
from torch import Tensor

from mmdia.registry import MODELS
from mmdia.utils import check_choice, check_choices

from ..utils import record, reduce_channels
from .base import Attention


class RecordedContextBlock(ContextBlock):
    """MMCV's block, which shows its weights, its gate and what it adds."""

    def spatial_pool(self, x: Tensor) -> Tensor:
        """The context of a map (N, C, H, W), of shape (N, C, 1, 1)."""
        if self.pooling_type == 'avg':
            return self.avg_pool(x)
        weight = self.softmax(self.conv_mask(x).flatten(2))
        record('spatial_weight', weight.unflatten(2, x.shape[2:]))
        return torch.matmul(x.flatten(2)[:, None], weight[..., None]).flatten(1)[..., None, None]

    def forward(self, x: Tensor) -> Tensor:
        """Add the context of a map (N, C, H, W) to it, multiply it by the gate, or both."""
        context = self.spatial_pool(x)
        if self.channel_mul_conv is not None:
            gate = torch.sigmoid(self.channel_mul_conv(context))
            record('gate', gate.flatten(1))
            x = x * gate
        if self.channel_add_conv is not None:
            added = self.channel_add_conv(context)
            record('added', added.flatten(1))
            x = x + added
        return x


@MODELS.register_module()
class GC(Attention):
    """Global context: a weighted mean over all positions is added to each.

    ``x + W2 relu(LN(W1 c))`` with ``c = sum over positions of softmax(Wk x) * x``;
    MMCV's ``ContextBlock``. The softmax is over positions, W1 goes from C to
    C // r channels, W2 back, and the layer norm keeps no statistics: blocks
    that share the module share it too. W2 starts at zero. It is not a gate,
    and autocast applies to it.

    Source: Cao et al., `GCNet: Non-local Networks Meet Squeeze-Excitation
    Networks and Beyond <https://arxiv.org/abs/1904.11492>`_.

    Args:
        in_channels (int): Number of channels C.
        num_blocks (int): See :class:`Attention`. Defaults to 1.
        ratio (int): Reduction ratio r. Defaults to 16.
        pooling_type (str): ``'att'`` for the weighted mean, ``'avg'`` for the
            plain one. Defaults to ``'att'``.
        fusion_types (Sequence[str]): ``'channel_add'`` to add the context,
            ``'channel_mul'`` to multiply by its sigmoid, or both.
            Defaults to ``('channel_add',)``.
        init_cfg (dict | list[dict], optional): Initialization config.
            Defaults to ``dict(type='Kaiming', layer='Conv2d')``.
        **kwargs: See :class:`Attention`.

    Raises:
        TypeError: If ``ratio`` is not an integer.
        ValueError: If ``ratio`` is not in 1 ... C, or ``pooling_type`` or
            ``fusion_types`` is not among the above.
    """

    def __init__(
        self,
        in_channels: int,
        num_blocks: int = 1,
        ratio: int = 16,
        pooling_type: str = 'att',
        fusion_types: Sequence[str] = ('channel_add',),
        init_cfg: Optional[Union[dict, list]] = dict(type='Kaiming', layer='Conv2d'),
        **kwargs,
    ) -> None:
        super().__init__(in_channels, num_blocks, init_cfg=init_cfg, **kwargs)
        check_choice('pooling_type', pooling_type, ('att', 'avg'))
        check_choices('fusion_types', fusion_types, ('channel_add', 'channel_mul'))
        # The half makes up for MMCV's rounding down of a product of floats.
        ratio = (reduce_channels(in_channels, ratio) + 0.5) / in_channels
        self.block = RecordedContextBlock(in_channels, ratio, pooling_type, tuple(fusion_types))

    def forward(self, x: Tensor, index: int = 0) -> Tensor:
        return self.block(x).to(x.dtype)

    def init_weights(self) -> None:
        """Initialize the weights, the last ones with zero."""
        if not self.is_init:
            super().init_weights()
            self.block.reset_parameters()

    def zero_gate(self) -> float:
        for convs in (self.block.channel_add_conv, self.block.channel_mul_conv):
            if convs is not None:
                constant_init(convs[-1], 0)
        return 1.0 if self.block.channel_mul_conv is None else 0.5
