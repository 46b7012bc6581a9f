"""Recurrent Layer Attention: one scalar gate a block from one LSTM."""

from statistics import median_high
from typing import Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdia.registry import MODELS
from mmdia.utils import check_int

from ..cells import LSTMCell, State
from ..utils import (
    full_precision,
    global_avg_pool,
    reduce_channels,
)
from .gated import GatedInteraction


def resample_channels(x: Tensor, channels: int) -> Tensor:
    """Bring vectors to another length without parameters.

    Args:
        x (Tensor): Vectors of shape (N, C).
        channels (int): The new length.

    Returns:
        Tensor: Vectors of shape (N, channels): averages of neighbours where
        that is shorter, the nearest neighbours where it is longer.
    """
    if x.shape[1] == channels:
        return x
    if x.shape[1] > channels:
        return F.adaptive_avg_pool1d(x[:, None], channels)[:, 0]
    return F.interpolate(x[:, None], size=channels, mode='nearest')[:, 0]


@MODELS.register_module()
class RLA(GatedInteraction):
    """Recurrent Layer Attention: an LSTM along the whole network weighs blocks.

    ``h, c = lstm(resample(GAP(branch)), (h, c))``,
    ``alpha = sigmoid(W2 relu(W1 h))``, ``out = act(identity + alpha * branch)``
    with one LSTM for all blocks of all stages, W1 and W2 own to each block and
    alpha a scalar a sample.

    Not to be confused with Recurrent Layer *Aggregation* (RLANet), another
    network, nor with MRLA, multi-head recurrent layer attention.

    Source: `Recurrent Layer Attention Network
    <https://openreview.net/forum?id=Bke5aJBKvH>`_ (ICLR 2020 submission), eq.
    1 to 5. The paper has no code. Its parameter counts settle that W1 and W2
    are per block and have biases. Open in the text, and chosen here: the gate
    scales the branch before the sum, as in SE-ResNet; pooled features are
    averaged or repeated along the channels to reach the length N.

    Args:
        channels (Sequence[int]): Output channels of the blocks, by stage.
        num_blocks (Sequence[int]): Number of blocks, by stage.
        context_channels (int, optional): Length N of the LSTM's input.
            Defaults to the median of the blocks' channels, which has the least
            to be resampled: 256 for ResNet-18, 1024 for ResNet-50 and -101, as
            the paper's parameter counts say.
        hidden_channels (int, optional): Size M of the LSTM. Defaults to
            ``context_channels // 2``: 128 for ResNet-18, 512 for ResNet-50 and
            -101, as the counts say.
        ratio (int, optional): Reduction ratio r from M to the narrow layer of
            the heads. By default the counts' own: 8 where M < 512, else 16.
        **kwargs: See :class:`LayerInteraction`.

    Raises:
        TypeError: If a size or ``ratio`` is not an integer.
        ValueError: If a size is not positive or ``ratio`` not in 1 ... M.
    """

    scope = 'network'
    neutral_gate = 0.5  # sigmoid(0)

    def __init__(
        self,
        channels: Sequence[int],
        num_blocks: Sequence[int],
        context_channels: Optional[int] = None,
        hidden_channels: Optional[int] = None,
        ratio: Optional[int] = None,
        **kwargs,
    ) -> None:
        super().__init__(channels, num_blocks, **kwargs)
        if context_channels is None:
            context_channels = median_high(
                c for c, n in zip(channels, num_blocks) for _ in range(n)
            )
        check_int('context_channels', context_channels)
        if hidden_channels is None:
            hidden_channels = max(context_channels // 2, 1)
        check_int('hidden_channels', hidden_channels)
        if ratio is None:
            ratio = min(8 if hidden_channels < 512 else 16, hidden_channels)

        self.context_channels = context_channels
        self.cell = LSTMCell(context_channels, hidden_channels)
        mid_channels = reduce_channels(hidden_channels, ratio)
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.Linear(hidden_channels, mid_channels),
                nn.ReLU(inplace=True),
                nn.Linear(mid_channels, 1),
            )
            for _ in range(sum(num_blocks))
        )

    def forward(
        self, branch: Tensor, identity: Tensor, state: Optional[State], index: int
    ) -> Tuple[Tensor, State]:
        """See :meth:`LayerInteraction.forward`; the state is (h, c)."""
        context = resample_channels(global_avg_pool(branch), self.context_channels)
        state = self.cell(context, state)
        with full_precision(branch):
            alpha = torch.sigmoid(self.heads[index](state[0]))
        return self.join(branch, identity, alpha), state

    def neutralize(self) -> None:
        """See :meth:`GatedInteraction.neutralize`."""
        for head in self.heads:
            nn.init.zeros_(head[-1].weight)
            nn.init.zeros_(head[-1].bias)
