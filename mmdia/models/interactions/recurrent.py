"""Channel gates from a recurrent cell that the blocks of a stage share."""

from typing import Optional, Tuple

from torch import Tensor

from mmdia.registry import MODELS

from ..cells import DIACell, State
from ..utils import global_avg_pool
from .gated import GatedInteraction


@MODELS.register_module()
class DIALSTM(GatedInteraction):
    """DIA-LSTM: one LSTM a stage reads every block and gates its channels.

    ``h, c = cell(GAP(branch), (h, c))``, ``out = act(identity + branch * h)``.
    All blocks of a stage share the cell, so its parameters do not grow with
    depth. Each stage starts from h = c = 0.

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
        **kwargs: See :class:`LayerInteraction`.
    """

    neutral_gate = 0.25  # sigmoid(0) * sigmoid(0)

    def __init__(self, channels: int, num_blocks: int, ratio: int = 20, **kwargs) -> None:
        super().__init__(channels, num_blocks, **kwargs)
        self.cell = DIACell(channels, ratio=ratio)

    def forward(
        self, branch: Tensor, identity: Tensor, state: Optional[State], index: int
    ) -> Tuple[Tensor, State]:
        """See :meth:`LayerInteraction.forward`; the state is (h, c)."""
        state = self.cell(global_avg_pool(branch), state)
        return self.join(branch, identity, state[0]), state

    def neutralize(self) -> None:
        """See :meth:`GatedInteraction.neutralize`."""
        self.cell.zero_gates()
