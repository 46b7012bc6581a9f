"""Squeeze-and-excitation."""

import torch
from mmengine.model import constant_init
from torch import Tensor

from mmdia.registry import MODELS
from mmdia.utils import check_bool

from ..utils import BottleneckMLP, global_avg_pool, reduce_channels
from .base import ChannelAttention


@MODELS.register_module()
class SE(ChannelAttention):
    """Squeeze-and-excitation: a gate per channel from the means of all channels.

    ``x * sigmoid(W2 relu(W1 GAP(x)))``, W1 from C to C // r channels, W2 back.

    Source: Hu et al., `Squeeze-and-Excitation Networks
    <https://arxiv.org/abs/1709.01507>`_. The authors' models have biases, which
    the equations lack; most, not all, of the later papers count them.

    Args:
        in_channels (int): Number of channels C.
        num_blocks (int): See :class:`Attention`. Defaults to 1.
        ratio (int): Reduction ratio r. Defaults to 16.
        bias (bool): Whether W1 and W2 have biases. Defaults to True.
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
        self.mlp = BottleneckMLP(in_channels, mid_channels, in_channels, bias)

    def gate(self, x: Tensor, index: int) -> Tensor:
        return torch.sigmoid(self.mlp(self.like_weights(global_avg_pool(x))))

    def zero_gate(self) -> float:
        constant_init(self.mlp[-1], 0)
        return 0.5
