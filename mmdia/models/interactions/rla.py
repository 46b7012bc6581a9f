"""Recurrent Layer Attention: one LSTM along the network weighs every block."""

from statistics import median_high
from typing import Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmengine.model import ModuleList, constant_init
from torch import Tensor, nn

from mmdia.registry import MODELS
from mmdia.utils import check_choice, check_int

from ..attentions import build_attention
from ..cells import LSTMCell, State, record_state
from ..utils import (
    BottleneckMLP,
    full_precision,
    global_avg_pool,
    like_parameters,
    record,
    reduce_channels,
    scale_channels,
)
from .gated import GatedInteraction

MLP_RATIO = 16


def resample_channels(x: Tensor, given: int, channels: int, upsample: str = 'nearest') -> Tensor:
    """Bring vectors to another length without parameters.

    Args:
        x (Tensor): Vectors of shape (N, given).
        given (int): Their length.
        channels (int): The new length.
        upsample (str): ``'nearest'`` or ``'linear'``: what is between two
            entries of a vector that is too short. Defaults to ``'nearest'``.

    Returns:
        Tensor: Vectors of shape (N, channels): averages of neighbours where
        that is shorter.
    """
    if given == channels:
        return x
    if given % channels == 0:
        # Adaptive pooling does the same, but not in the deterministic mode of GPUs.
        return F.avg_pool1d(x[:, None], given // channels)[:, 0]
    if given > channels:
        return F.adaptive_avg_pool1d(x[:, None], channels)[:, 0]
    # As images, for which quantized operators exist.
    mode = 'bilinear' if upsample == 'linear' else upsample
    return F.interpolate(x[:, None, None], size=(1, channels), mode=mode).flatten(1)


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
    <https://openreview.net/forum?id=Bke5aJBKvH>`_ (ICLR 2020 submission,
    withdrawn), eq. 1 to 5; the variants: section 3.2. The paper has no code.
    Its parameter counts settle that W1 and W2 are per block and have biases.
    Open in the text, and arguments here: the gate scales the branch before the
    sum, as in SE-ResNet (``position``); pooled features are averaged or
    repeated along the channels to reach the length N (``upsample``).

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
        gate (str): ``'scalar'``, or ``'vector'`` for a gate per channel
            (RLA-Vector). Defaults to ``'scalar'``.
        context (str): What is read of a block: ``'gap'``, ``'gmp'`` (global
            average or maximum), or either followed by two linear layers own to
            the block, ``'gap+mlp'``, ``'gmp+mlp'``. Defaults to ``'gap'``.
        attention (dict, optional): Config of an attention within each block,
            such as ``dict(type='mmdia.SE')``, applied before the gate
            (IA+RLA). Defaults to None.
        position (str): What is read and gated: the ``'branch'`` or its
            ``'sum'`` with the shortcut. The sum is halved at every fresh gate,
            which deep networks hardly survive without ``identity_init``.
            Defaults to ``'branch'``.
        upsample (str): How short contexts are lengthened: ``'nearest'`` or
            ``'linear'``. Defaults to ``'nearest'``.
        **kwargs: See :class:`LayerInteraction`.

    Raises:
        TypeError: If a size or ``ratio`` is not an integer.
        ValueError: If a size is not positive, ``ratio`` not in 1 ... M, or
            another argument not one of its values.
    """

    scope = 'network'

    def __init__(
        self,
        channels: Sequence[int],
        num_blocks: Sequence[int],
        context_channels: Optional[int] = None,
        hidden_channels: Optional[int] = None,
        ratio: Optional[int] = None,
        gate: str = 'scalar',
        context: str = 'gap',
        attention: Optional[dict] = None,
        position: str = 'branch',
        upsample: str = 'nearest',
        **kwargs,
    ) -> None:
        super().__init__(channels, num_blocks, **kwargs)
        self.uses_recipe = position == 'branch' and attention is None
        check_choice('gate', gate, ('scalar', 'vector'))
        check_choice('context', context, ('gap', 'gmp', 'gap+mlp', 'gmp+mlp'))
        check_choice('position', position, ('branch', 'sum'))
        check_choice('upsample', upsample, ('nearest', 'linear'))
        block_channels = tuple(c for c, n in zip(channels, num_blocks) for _ in range(n))
        if context_channels is None:
            context_channels = median_high(block_channels)
        check_int('context_channels', context_channels)
        if hidden_channels is None:
            hidden_channels = max(context_channels // 2, 1)
        check_int('hidden_channels', hidden_channels)
        if ratio is None:
            ratio = min(8 if hidden_channels < 512 else 16, hidden_channels)
        mid_channels = reduce_channels(hidden_channels, ratio)

        self.block_channels = block_channels
        self.context_channels = context_channels
        self.context = context
        self.position = position
        self.upsample = upsample
        self.cell = LSTMCell(context_channels, hidden_channels)
        self.heads = nn.ModuleList(
            BottleneckMLP(hidden_channels, mid_channels, 1 if gate == 'scalar' else c)
            for c in block_channels
        )
        self.context_mlps = None
        if context.endswith('+mlp'):
            self.context_mlps = nn.ModuleList(
                BottleneckMLP(c, max(c // MLP_RATIO, 1), c) for c in block_channels
            )
        self.attentions = None
        if attention is not None:
            self.attentions = ModuleList(
                build_attention(attention, c, norm_cfg=self.norm_cfg) for c in block_channels
            )

    def gate(self, pooled: Tensor, state: Optional[State], index: int) -> Tuple[Tensor, State]:
        """Compute the gate of a block.

        Args:
            pooled (Tensor): Mean or maximum over height and width, of shape
                (N, C).
            state (Tuple[Tensor, Tensor], optional): (h, c) after the block
                before.
            index (int): Number of the block, from 0.

        Returns:
            Tuple[Tensor, State]: Gate of shape (N, 1) or (N, C), and (h, c).
        """
        with full_precision(pooled):
            if self.context_mlps is not None:
                mlp = self.context_mlps[index]
                pooled = mlp(like_parameters(mlp, pooled))
            context = resample_channels(
                pooled, self.block_channels[index], self.context_channels, self.upsample
            )
            state = self.cell(context, state)
            return torch.sigmoid(self.heads[index](state[0])), state

    def forward(
        self, branch: Tensor, identity: Tensor, state: Optional[State], index: int
    ) -> Tuple[Tensor, State]:
        """See :meth:`LayerInteraction.forward`; the state is (h, c)."""
        volume = branch if self.position == 'branch' else identity + branch
        pooled = global_avg_pool(volume) if self.context.startswith('gap') else volume.amax((2, 3))
        alpha, state = self.gate(pooled, state, index)
        record('layer_gate', alpha)
        record_state(state)
        if self.attentions is not None:
            volume = self.attentions[index](volume)
        if self.position == 'branch':
            return self.join(volume, identity, alpha), state
        return self.act(scale_channels(volume, self.gate_scale.clone() * alpha)), state

    def zero_gate(self) -> float:
        for head in self.heads:
            constant_init(head[-1], 0)
        gate = 0.5  # sigmoid(0)
        if self.attentions is not None:
            (rest,) = {attention.zero_gate() for attention in self.attentions}
            gate *= rest
        return gate
