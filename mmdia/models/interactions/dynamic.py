"""Dynamic layer attention: what a block attends to is refreshed on the way."""

from typing import NamedTuple, Optional, Tuple

import torch
from torch import Tensor, nn

from mmdia.registry import MODELS
from mmdia.utils import check_bool, check_int

from ..cells import DSUCell, State, build_cell, record_state
from ..ops import gated_sum
from ..utils import global_avg_pool, record, scale_channels
from .full_attention import MRLABase
from .light_attention import MRLALight


@MODELS.register_module()
class DLALight(MRLALight):
    """DLA-L: light layer attention over a shortcut that a recurrent cell renews.

    ``x = act(identity + branch)``; the stage's cell reads the block,
    ``h, c = DSU(GAP(x), (h, c))``, and gates the shortcut in that context,
    ``d = DSU(GAP(identity), (h, c))`` (its state is dropped);
    ``out = x + attention(x, identity * d + excite(identity))``; see
    :class:`~.light_attention.LightLayerAttention`. The outputs are not
    rectified and may be negative.

    Source: Wang et al., `Strengthening Layer Interaction via Dynamic Layer
    Attention <https://arxiv.org/abs/2406.13392>`_, "DLA-L", as the released
    code has it: one cell a stage (the text: one for the network); ``excite``,
    a depthwise 3x3 convolution shared by the stage, which the text lacks; the
    shortcut in place of the attention output of the block before (eq. 3).
    Unlike the released code, whose gates for every sample use the context of
    the batch's first one, a sample's output depends on that sample alone.

    Not to be confused with Deep Layer Aggregation, also called DLA.

    Args:
        channels (int): Output channels of the blocks.
        num_blocks (int): Number of blocks.
        ratio (int): Reduction ratio r of the DSU. Defaults to 20, as in the
            text for ImageNet and in the released detector; the released
            ImageNet code has 16, the CIFAR code 4.
        cell (dict, optional): Config of a cell in place of the DSU (Table 4),
            to which ``ratio`` does not apply. Defaults to None.
        excite (bool): Whether to add ``excite``. Defaults to True.
        **kwargs: See :class:`MRLALight`.
    """

    def __init__(
        self,
        channels: int,
        num_blocks: int,
        ratio: int = 20,
        cell: Optional[dict] = None,
        excite: bool = True,
        **kwargs,
    ) -> None:
        super().__init__(channels, num_blocks, **kwargs)
        check_int('ratio', ratio)
        check_bool('excite', excite)
        self.cell = DSUCell(channels, ratio=ratio) if cell is None else build_cell(cell, channels)
        self.excite = (
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
            if excite
            else None
        )

    def attend(
        self, x: Tensor, value: Tensor, identity: Tensor, state: Optional[State], index: int
    ) -> Tuple[Tensor, State]:
        """See :meth:`LayerAttention.attend`; the state is the cell's."""
        pooled = global_avg_pool(x)
        state = self.cell(pooled, state)
        gate, _ = self.cell(global_avg_pool(identity), state)
        record_state(state)
        record('shortcut_gate', gate)
        if self.excite is None:
            earlier = scale_channels(identity, gate)
        else:
            earlier = gated_sum(identity, self.excite(identity), gate)
        return self.attentions[index](x, value, pooled, earlier), state


class RenewedMemory(NamedTuple):
    """What is kept of the blocks of a stage, t of them so far.

    Args:
        values (Tuple[Tensor]): The values as they were, t maps of shape
            (N, C, H, W).
        keys (Tensor): The renewed keys, of shape (t, N, C).
        gains (Tensor): Factors that renew the values, of shape (t, N, C).
        vectors (Tensor): What the cell renews, of shape (t, 2, N, C): the keys,
            and the means of the renewed values over height and width.
        state (State): The state of the cell.
    """

    values: Tuple[Tensor, ...]
    keys: Tensor
    gains: Tensor
    vectors: Tensor
    state: State


@MODELS.register_module()
class DLABase(MRLABase):
    """DLA-B: layer attention to all blocks, which a recurrent cell keeps renewing.

    As :class:`MRLABase`, but at every block the stage's cell reads the block,
    ``h, c = DSU(GAP(x), (h, c))``, and gates the keys and values of the blocks
    before in that context: ``k_t = k_t * DSU(k_t, (h, c))``, ``V_t = V_t *
    DSU(GAP(V_t), (h, c))``. Later blocks start from what was renewed.

    A gate scales whole channels, and so passes through the mean: of a value,
    only the product of its gates and its mean at first are needed, and its map
    is kept as it was.

    Source: Wang et al., `Strengthening Layer Interaction via Dynamic Layer
    Attention <https://arxiv.org/abs/2406.13392>`_, "DLA-B", as the released
    code has it: it renews projected keys and values (the text: features), with
    one cell a stage. Unlike the released code, a sample's output depends on
    that sample alone; see :class:`DLALight`.

    Args:
        channels (int): Output channels of the blocks.
        num_blocks (int): Number of blocks.
        ratio (int): Reduction ratio r of the DSU. Defaults to 20; the paper's
            CIFAR networks have 4.
        cell (dict, optional): Config of a cell in place of the DSU, to which
            ``ratio`` does not apply. Defaults to None.
        **kwargs: See :class:`MRLABase`.
    """

    def __init__(
        self,
        channels: int,
        num_blocks: int,
        ratio: int = 20,
        cell: Optional[dict] = None,
        **kwargs,
    ) -> None:
        super().__init__(channels, num_blocks, **kwargs)
        check_int('ratio', ratio)
        self.cell = DSUCell(channels, ratio=ratio) if cell is None else build_cell(cell, channels)

    def remember(
        self, memory: Optional[RenewedMemory], pooled: Tensor, key: Tensor, value: Tensor
    ) -> RenewedMemory:
        mean = global_avg_pool(value).to(key.dtype)
        new, gain = torch.stack((key, mean))[None], torch.ones_like(key)[None]
        if memory is None:
            state = self.cell(pooled)
            record_state(state)
            return RenewedMemory((value,), key[None], gain, new, state)
        state = self.cell(pooled, memory.state)
        record_state(state)
        gates, _ = self.cell(memory.vectors, state)
        of_values = gates[:, 1]
        record('renewal', of_values, dim=1)
        vectors = torch.cat((memory.vectors * gates, new))
        return RenewedMemory(
            values=(*memory.values, value),
            keys=vectors[:, 0],
            gains=torch.cat((memory.gains * of_values, gain)),
            vectors=vectors,
            state=state,
        )
