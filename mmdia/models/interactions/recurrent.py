"""Channel gates from a recurrent cell that the blocks of a stage share."""

from typing import Any, Tuple, Union

from torch import Tensor, nn

from mmdia.registry import MODELS
from mmdia.utils import check_bool, check_int

from ..cells import DIACell, LightCell, RecurrentCell, StackedCell, build_cell, record_state
from ..ops import normalize_with_recipe
from ..utils import build_norm_layer
from .gated import PooledGate

Cell = Union[RecurrentCell, StackedCell]


class RecurrentGate(PooledGate):
    """A cell reads the blocks of a stage and returns the gates of their channels.

    ``h, c = cell(GAP(branch), (h, c))``, ``out = act(identity + branch * h)``.
    All blocks of a stage share the cell, so its parameters do not grow with
    depth. Each stage starts from h = c = 0.

    Args:
        channels (int): Output channels N of the blocks.
        num_blocks (int): Number of blocks.
        cell (RecurrentCell): The cell, of N channels.
        extra_norm (bool): Whether the branch passes one more norm, own to each
            block, before it is pooled and gated. It brings branches to full
            size, also those that ``zero_init_residual`` of the backbone starts
            at zero: switch that off with it. Defaults to False.
        **kwargs: See :class:`LayerInteraction`.

    Raises:
        ValueError: If ``identity_init`` is asked for and impossible: with an
            extra norm, or with a cell that rests at 0.
    """

    def __init__(
        self, channels: int, num_blocks: int, cell: Cell, extra_norm: bool = False, **kwargs
    ) -> None:
        check_bool('extra_norm', extra_norm)
        super().__init__(channels, num_blocks, **kwargs)
        self.cell = cell
        self.norms = None
        if extra_norm:
            norms = (build_norm_layer(self.norm_cfg, channels)[1] for _ in range(num_blocks))
            self.norms = nn.ModuleList(norms)
        if self.identity_init and extra_norm:
            raise ValueError('identity_init=True needs extra_norm=False, got True')

    def forward(
        self, branch: Tensor, identity: Tensor, state: Any, index: int
    ) -> Tuple[Tensor, Any]:
        """See :meth:`LayerInteraction.forward`; the state is the cell's, (h, c)."""
        if self.norms is not None:
            branch = normalize_with_recipe(self.norms[index], branch)
        return super().forward(branch, identity, state, index)

    def gate(self, pooled: Tensor, state: Any, index: int) -> Tuple[Tensor, Any]:
        state = self.cell(pooled, state)
        record_state(state)
        return state[0], state

    def zero_gate(self) -> float:
        return self.cell.zero_gate()


@MODELS.register_module()
class DIALSTM(RecurrentGate):
    """DIA-LSTM: one LSTM a stage reads every block and gates its channels.

    See :class:`RecurrentGate`; the cell is :class:`~mmdia.models.DIACell`, or
    several on top of each other, of which the first has bottlenecks.

    Source: Huang et al., `DIANet: Dense-and-Implicit Attention Network
    <https://arxiv.org/abs/1905.10671>`_; in detection and medical imaging:
    Huang et al., `Layer-wise Shared Attention Network on Dynamical System
    Perspective <https://arxiv.org/abs/2210.16101>`_. What the released code
    does where the text differs: see :class:`~mmdia.models.DIACell`.

    Args:
        channels (int): Output channels N of the blocks.
        num_blocks (int): Number of blocks.
        ratio (int): Reduction ratio r of the cell. Defaults to 20, as on
            ImageNet with ResNet-34 and -50; the paper has 10 for ResNet-152
            and 4 on CIFAR.
        activation (str): Output activation of the cells: ``'sigmoid'``,
            ``'tanh'`` or ``'relu'`` (Table 6). Defaults to ``'sigmoid'``.
        num_cells (int): Number of cells on top of each other (Table 6: 1 or
            3); those above the first have no bottleneck. Defaults to 1.
        extra_norm (bool): Whether the branch passes one more norm, own to each
            block, as in the paper's pre-activation and wide networks.
            Defaults to False.
        **kwargs: See :class:`LayerInteraction`.
    """

    def __init__(
        self,
        channels: int,
        num_blocks: int,
        ratio: int = 20,
        activation: str = 'sigmoid',
        num_cells: int = 1,
        **kwargs,
    ) -> None:
        check_int('channels', channels)
        check_int('ratio', ratio)
        check_int('num_cells', num_cells, maximum=100)
        cell = DIACell(channels, ratio=ratio, activation=activation)
        if num_cells > 1:
            above = (
                DIACell(channels, ratio=None, activation=activation) for _ in range(1, num_cells)
            )
            cell = StackedCell([cell, *above])
        super().__init__(channels, num_blocks, cell, **kwargs)


@MODELS.register_module()
class DIALSTMLight(RecurrentGate):
    """DIA-LSTM Light: DIA-LSTM with far fewer parameters, an interpretation.

    See :class:`RecurrentGate`. The paper leaves the cell undefined:
    :class:`~mmdia.models.LightCell` says what is known of it.

    Source: Huang et al., `Layer-wise Shared Attention Network on Dynamical
    System Perspective <https://arxiv.org/abs/2210.16101>`_.

    Args:
        channels (int): Output channels N of the blocks; a multiple of
            ``ratio``.
        num_blocks (int): Number of blocks.
        ratio (int): Reduction ratio of the cell. Defaults to 4.
        **kwargs: See :class:`RecurrentGate`.
    """

    def __init__(self, channels: int, num_blocks: int, ratio: int = 4, **kwargs) -> None:
        check_int('channels', channels)
        super().__init__(channels, num_blocks, LightCell(channels, ratio), **kwargs)


@MODELS.register_module()
class LII(RecurrentGate):
    """Layer-wise Information Integration (LII): DIA-LSTM with any cell.

    See :class:`RecurrentGate`.

    Source: Wang et al., `Strengthening Layer Interaction via Dynamic Layer
    Attention <https://arxiv.org/abs/2406.13392>`_, Table 6, with the cells
    LSTM, DIA and DSU. With :class:`~mmdia.models.DIACell` it is DIA-LSTM.

    Args:
        channels (int): Output channels N of the blocks.
        num_blocks (int): Number of blocks.
        cell (dict): Config of the cell.
            Defaults to ``dict(type='mmdia.DSUCell', ratio=20)``.
        **kwargs: See :class:`RecurrentGate`.
    """

    def __init__(
        self,
        channels: int,
        num_blocks: int,
        cell: dict = dict(type='mmdia.DSUCell', ratio=20),
        **kwargs,
    ) -> None:
        check_int('channels', channels)
        super().__init__(channels, num_blocks, build_cell(cell, channels), **kwargs)
