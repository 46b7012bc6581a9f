"""Dynamic layer attention: what a block attends to is refreshed on the way."""

from typing import NamedTuple, Optional, Tuple

import torch
from torch import Tensor, nn

from mmdia.registry import MODELS
from mmdia.utils import check_bool, check_choice, check_int

from ..cells import DSUCell, RecurrentCell, State, build_cell, record_state
from ..ops import apply_module, gated_sum
from ..utils import full_precision, global_avg_pool, record, scale_channels
from .full_attention import MRLABase
from .light_attention import MRLALight


def build_dynamic_cell(channels: int, ratio: int, cell: Optional[dict], gate: str) -> RecurrentCell:
    """Build the cell that renews, and check the arguments that say how."""
    check_int('ratio', ratio)
    check_choice('gate', gate, ('hidden', 'memory'))
    return DSUCell(channels, ratio=ratio) if cell is None else build_cell(cell, channels)


def renewing_gate(cell: RecurrentCell, x: Tensor, state: State, gate: str) -> Tensor:
    """What the cell returns for features in the context of a state, which is kept."""
    hidden, memory = cell(x, state)
    return hidden if gate == 'hidden' else memory


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
    Attention <https://arxiv.org/abs/2406.13392>`_, "DLA-L", by default as the
    released code has it. Unlike there, where gates for every sample use the
    context of the batch's first one, a sample's output depends on that sample
    alone. The text has one cell for the network, which would need stages of one
    width. The rest of its equations, 3 and 5 to 9, is::

        dict(
            type='mmdia.DLALight',
            cell=dict(type='mmdia.DSUCell', fusion='concat', initial_memory='random'),
            gate='memory',
            excite=False,
            previous='attention',
            weighting='softmax',
        )

    Not to be confused with Deep Layer Aggregation, also called DLA.

    Args:
        channels (int): Output channels of the blocks.
        num_blocks (int): Number of blocks.
        ratio (int): Reduction ratio r of the DSU. Defaults to 20, as in the
            text for ImageNet and in the released detector; the released
            ImageNet code has 16, the CIFAR code 4.
        cell (dict, optional): Config of a cell in place of the DSU (Table 4),
            to which ``ratio`` does not apply. Defaults to None.
        excite (bool): Whether to add ``excite``, a depthwise 3x3 convolution
            that the stage shares. Defaults to True.
        gate (str): What the layer before is multiplied by: the ``'hidden'``
            vector of the cell, or its ``'memory'`` (eq. 6), which for the DSU
            are sigmoid(c) and c. Defaults to ``'hidden'``.
        **kwargs: See :class:`MRLALight`.
    """

    def __init__(
        self,
        channels: int,
        num_blocks: int,
        ratio: int = 20,
        cell: Optional[dict] = None,
        excite: bool = True,
        gate: str = 'hidden',
        **kwargs,
    ) -> None:
        super().__init__(channels, num_blocks, **kwargs)
        check_bool('excite', excite)
        self.gate = gate
        self.cell = build_dynamic_cell(channels, ratio, cell, gate)
        self.excite = None
        if excite:
            self.excite = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)

    def attend(
        self, x: Tensor, value: Tensor, identity: Tensor, state: Optional[Tuple], index: int
    ) -> Tuple[Tensor, Tuple[State, Optional[Tensor]]]:
        """See :meth:`LayerAttention.attend`.

        The state is that of the cell, and the attention output, if it is read.
        """
        context, attended = (None, None) if state is None else state
        pooled = global_avg_pool(x)
        context = self.cell(pooled, context)
        earlier = self.layer_before(identity, attended)
        gate = renewing_gate(self.cell, global_avg_pool(earlier), context, self.gate)
        record_state(context)
        record('shortcut_gate', gate)
        if self.excite is None:
            earlier = scale_channels(earlier, gate)
        else:
            earlier = gated_sum(earlier, apply_module(self.excite, earlier), gate)
        out, attended = self.attentions[index](x, value, pooled, earlier)
        return out, (context, attended if self.previous == 'attention' else None)


class RenewedMemory(NamedTuple):
    """What is kept of the blocks of a stage, t of them so far.

    Args:
        values (Tuple[Tensor]): The values as they were, t maps of shape
            (N, C, H, W).
        keys (Tensor): The renewed keys, of shape (t, N, C).
        gains (Tensor): Factors that renew the values, of shape (t, N, C).
        vectors (Tensor): What the cell renews: the keys, and the means of the
            renewed values over height and width, of shape (t, 2, N, C), or
            those of the renewed features, of shape (t, 1, N, C).
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

    A gate scales whole channels, and so passes through the mean and through the
    depthwise convolution of values: only the product of its gates and its mean
    at first are needed, and the map of a value is kept as it was.

    Source: Wang et al., `Strengthening Layer Interaction via Dynamic Layer
    Attention <https://arxiv.org/abs/2406.13392>`_, "DLA-B", by default as the
    released code has it. Unlike there, a sample's output depends on that sample
    alone; see :class:`DLALight`, also on the cell of the equations. The rest of
    them, 2, 5 and 6, is ``gate='memory', renewed='features'``.

    Args:
        channels (int): Output channels of the blocks.
        num_blocks (int): Number of blocks.
        ratio (int): Reduction ratio r of the DSU. Defaults to 20; the paper's
            CIFAR networks have 4.
        cell (dict, optional): Config of a cell in place of the DSU, to which
            ``ratio`` does not apply. Defaults to None.
        gate (str): See :class:`DLALight`. Defaults to ``'hidden'``.
        renewed (str): What the cell renews of the blocks before: the
            ``'projections'``, keys and values, each by a gate of its own; or
            the ``'features'``, the outputs of the plain blocks, to which the
            projections are then applied anew (eq. 6).
            Defaults to ``'projections'``.
        **kwargs: See :class:`MRLABase`.
    """

    def __init__(
        self,
        channels: int,
        num_blocks: int,
        ratio: int = 20,
        cell: Optional[dict] = None,
        gate: str = 'hidden',
        renewed: str = 'projections',
        **kwargs,
    ) -> None:
        super().__init__(channels, num_blocks, **kwargs)
        check_choice('renewed', renewed, ('projections', 'features'))
        self.gate = gate
        self.renewed = renewed
        self.cell = build_dynamic_cell(channels, ratio, cell, gate)

    def remember(
        self, memory: Optional[RenewedMemory], pooled: Tensor, key: Tensor, value: Tensor
    ) -> RenewedMemory:
        if self.renewed == 'projections':
            mean = global_avg_pool(value).to(key.dtype)
            new = torch.stack((key, mean))[None]
        else:
            new = pooled.to(key.dtype)[None, None]
        gain = torch.ones_like(key)[None]
        state = self.cell(pooled, None if memory is None else memory.state)
        record_state(state)
        if memory is None:
            return RenewedMemory((value,), key[None], gain, new, state)
        gates = renewing_gate(self.cell, memory.vectors, state, self.gate)
        of_values = gates[:, -1]
        record('renewal', of_values, dim=1)
        vectors = torch.cat((memory.vectors * gates, new))
        return RenewedMemory(
            values=(*memory.values, value),
            keys=self.keys(vectors[:, 0], len(memory.values) + 1),
            gains=torch.cat((memory.gains * of_values, gain)),
            vectors=vectors,
            state=state,
        )

    def keys(self, renewed: Tensor, num_blocks: int) -> Tensor:
        """The keys of what was renewed.

        Args:
            renewed (Tensor): The keys themselves, or means of features, of shape
                (num_blocks, N, C).
            num_blocks (int): Number of blocks so far.

        Returns:
            Tensor: Keys of shape (num_blocks, N, C).
        """
        if self.renewed == 'projections':
            return renewed
        with full_precision(renewed):
            keys = [self.attentions[t].key(renewed[t][:, None])[:, 0] for t in range(num_blocks)]
        return torch.stack(keys)
