"""Switchable self-attention module."""

import torch
from mmengine.model import constant_init
from torch import Tensor, nn

from mmdia.registry import MODELS
from mmdia.utils import check_bool

from ..utils import BottleneckMLP, channel_kernel_size, global_avg_pool, reduce_channels
from .base import ChannelAttention


@MODELS.register_module()
class SEM(ChannelAttention):
    """Switchable attention: three channel gates, weighed by the input itself.

    With ``y = GAP(x)`` and three switches ``s = sigmoid(W y + d)``,

    ``x * sigmoid(s1 * mlp(y)) * sigmoid(s2 * conv(y)) * sigmoid(s3 * (w * y + b))``:
    the MLP of :class:`SE`, the convolution of :class:`ECA`, and a weight and a
    bias a channel, as in instance enhancement (IE).

    Source: Zhong et al., `Switchable Self-attention Module
    <https://arxiv.org/abs/2209.05680>`_, as its released code computes it, with
    w = 0 and b = -1 at first.

    Args:
        in_channels (int): Number of channels C.
        num_blocks (int): See :class:`Attention`. Defaults to 1.
        ratio (int): Reduction ratio of the MLP. Defaults to 16.
        bias (bool): Whether the MLP has biases. Defaults to True.
        **kwargs: See :class:`Attention`.

    Raises:
        TypeError: If ``ratio`` is not an integer.
        ValueError: If ``ratio`` is not in 1 ... C.
    """

    def __init__(
        self, in_channels: int, num_blocks: int = 1, ratio: int = 16, bias: bool = True, **kwargs
    ) -> None:
        super().__init__(in_channels, num_blocks, **kwargs)
        check_bool('bias', bias)
        mid_channels = reduce_channels(in_channels, ratio)
        kernel_size = channel_kernel_size(in_channels)
        self.switch = nn.Linear(in_channels, 3)
        self.mlp = BottleneckMLP(in_channels, mid_channels, in_channels, bias)
        self.conv = nn.Conv1d(1, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.weight = nn.Parameter(torch.empty(in_channels))
        self.bias = nn.Parameter(torch.empty(in_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Give weight and bias their first values."""
        nn.init.zeros_(self.weight)
        nn.init.constant_(self.bias, -1)

    def gate(self, x: Tensor, index: int) -> Tensor:
        pooled = self.like_weights(global_avg_pool(x))
        scores = (
            self.mlp(pooled),
            self.conv(pooled[:, None])[:, 0],
            self.weight * pooled + self.bias,
        )
        switches = torch.sigmoid(self.switch(pooled))[:, :, None]
        return torch.sigmoid(switches * torch.stack(scores, dim=1)).prod(1)

    def zero_gate(self) -> float:
        for module in (self.mlp[-1], self.conv, self):
            constant_init(module, 0)
        return 0.125  # sigmoid(0) ** 3
