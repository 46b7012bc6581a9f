"""Recurrent Layer Aggregation: a recurrent feature map that every block reads."""

from typing import Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmengine.model import ModuleList
from torch import Tensor, nn

from mmdia.registry import MODELS
from mmdia.utils import check_bool, check_int

from ..utils import build_norm_layer, record
from .base import LayerInteraction

# The narrow map h, and what the next block's convolution makes of it.
State = Tuple[Tensor, Optional[Tensor]]


@MODELS.register_module()
class LayerAggregation(LayerInteraction):
    """Recurrent Layer Aggregation (RLANet): blocks read what earlier ones left.

    ``branch = block([x, h])``, ``out = act(identity + branch)``,
    ``h = U tanh(norm(h + V branch))``, where h is a narrow feature map, V a
    1x1 convolution and U a 3x3 one that the blocks of a stage share, and the
    norm is own to each block. ``h`` crosses the stages and starts from 0.

    Not to be confused with Recurrent Layer *Attention*
    (:class:`~mmdia.models.RLA`).

    Source: Zhao et al., `Recurrence along Depth: Deep Convolutional Neural
    Networks with Recurrent Layer Aggregation
    <https://arxiv.org/abs/2110.11852>`_. The block's first convolution on
    [x, h] is written as the sum of two, so that the trunk keeps its shapes and
    takes plain weights. What never gets a gradient in the released code has no
    weights here: the first block's convolution on h = 0 and, unless
    ``append_state``, the last block's norm and the norm of the output.

    Args:
        channels (Sequence[int]): Output channels of the blocks, by stage.
        num_blocks (Sequence[int]): Number of blocks, by stage.
        state_channels (int): Channels of h. Defaults to 32.
        append_state (bool): Whether the output of the last stage is followed,
            along the channels, by ``act(norm(h))``, as the released
            classifiers have it and its detectors do not. Defaults to False.
        **kwargs: See :class:`LayerInteraction`.

    Raises:
        TypeError: If ``state_channels`` is not an integer.
        ValueError: If ``state_channels`` is not positive.
    """

    scope = 'network'

    def __init__(
        self,
        channels: Sequence[int],
        num_blocks: Sequence[int],
        state_channels: int = 32,
        append_state: bool = False,
        **kwargs,
    ) -> None:
        super().__init__(channels, num_blocks, **kwargs)
        check_int('state_channels', state_channels)
        check_bool('append_state', append_state)
        self.state_channels = state_channels
        self.added_channels = state_channels if append_state else 0
        updates = [stage for stage, n in enumerate(num_blocks) for _ in range(n)]
        if not append_state:
            updates.pop()  # nothing reads what the last block would leave
        self.stage_of = tuple(updates)
        stages = range(len(set(updates)))
        self.inputs = nn.ModuleList(
            nn.Conv2d(channels[i], state_channels, 1, bias=False) for i in stages
        )
        self.recurrences = nn.ModuleList(
            nn.Conv2d(state_channels, state_channels, 3, padding=1, bias=False) for _ in stages
        )
        self.norms = nn.ModuleList(
            build_norm_layer(self.norm_cfg, state_channels)[1] for _ in updates
        )
        self.strides = (1,) * (len(updates) + 1)
        self.readers = ModuleList()
        self.final_norm = None
        if append_state:
            self.final_norm = build_norm_layer(self.norm_cfg, state_channels)[1]

    def prepare(self, blocks: Sequence[nn.Module]) -> None:
        """See :meth:`LayerInteraction.prepare`: the convolutions that read h."""
        self.strides = tuple(block.stride for block in blocks)
        self.readers.extend(block.build_reader(self.state_channels) for block in blocks[1:])

    def feed(self, state: Optional[State], index: int) -> Optional[Tensor]:
        return None if state is None else state[1]

    def forward(
        self, branch: Tensor, identity: Tensor, state: Optional[State], index: int
    ) -> Tuple[Tensor, Optional[State]]:
        """See :meth:`LayerInteraction.forward`."""
        out = self.act(identity + branch)
        if index == len(self.stage_of):
            return out, None
        stage = self.stage_of[index]
        # 0 is added, too: tools would fuse a norm that directly follows a shared convolution.
        before = 0 if state is None else self.pool(state[0], index)
        update = self.norms[index](self.inputs[stage](branch) + before)
        hidden = self.recurrences[stage](torch.tanh(update))
        record('hidden', hidden)
        if index + 1 == sum(self.num_blocks):
            return out, (self.act(self.final_norm(hidden + 0)), None)
        return out, (hidden, self.readers[index](hidden))

    def pool(self, state: Tensor, index: int) -> Tensor:
        """Average h to the size to which a block brings its input."""
        stride = self.strides[index]
        if stride == 1:
            return state
        return F.avg_pool2d(state, stride, ceil_mode=True, count_include_pad=False)

    def finish(self, x: Tensor, state: Optional[State]) -> Tensor:
        return x if state is None else torch.cat((x, state[0]), dim=1)

    def init_identity(self) -> None:
        for reader in self.readers:
            nn.init.zeros_(reader.weight)
