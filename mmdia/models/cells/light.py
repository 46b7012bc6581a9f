"""The cell of DIA-LSTM Light."""

from typing import Optional, Tuple, Union

import torch
from mmengine.model import constant_init
from torch import Tensor, nn

from mmdia.registry import MODELS
from mmdia.utils import check_int

from ..utils import repeat_entries
from .base import RecurrentCell, State, update_memory


class Enhancement(nn.Module):
    """A weight and a bias a channel: ``w * x + b``.

    Args:
        channels (int): Number of channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels))
        self.bias = nn.Parameter(torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Give weight and bias their first values."""
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Scale and shift vectors of shape (..., channels)."""
        return torch.addcmul(self.bias, self.weight, x)


@MODELS.register_module()
class LightCell(RecurrentCell):
    """The cell of DIA-LSTM Light, an interpretation.

    ``z = repeat(relu(W (E_x(x) + E_h(h))))`` with one linear layer W to a
    quarter of the channels, every one of which serves four channels; each gate
    is ``E_k(z)``, k = i, f, g, o; memory and output are those of
    :class:`DIACell`. ``E(x) = w * x + b`` acts on single channels.

    Source: Huang et al., `Layer-wise Shared Attention Network on Dynamical
    System Perspective <https://arxiv.org/abs/2210.16101>`_. **The paper does
    not define this cell** and there is no code. Its six printed parameter
    counts bound it to about ``N^2 / 4 + 12 N`` a stage, which leaves hundreds
    of designs; this one, with a linear layer and six enhancements of 2N, is
    among the simplest that hit all six.

    Args:
        in_channels (int): Length of the input vector; a multiple of
            ``ratio``.
        ratio (int): How many times fewer channels the linear layer returns.
            Defaults to 4.
        init_cfg (dict | list[dict], optional): Initialization config. Defaults to None.

    Raises:
        TypeError: If ``ratio`` is not an integer.
        ValueError: If ``ratio`` does not divide ``in_channels``.
    """

    num_gates = 4

    def __init__(
        self, in_channels: int, ratio: int = 4, init_cfg: Optional[Union[dict, list]] = None
    ) -> None:
        check_int('in_channels', in_channels)
        check_int('ratio', ratio)
        if in_channels % ratio:
            raise ValueError(
                f'ratio must divide the number of channels, {in_channels}, got {ratio}'
            )
        self.ratio = ratio
        super().__init__(in_channels, init_cfg=init_cfg)

    def build_projections(self) -> None:
        channels = self.in_channels
        self.input_scale = Enhancement(channels)
        self.hidden_scale = Enhancement(channels)
        self.reduction = nn.Linear(channels, channels // self.ratio)
        self.gate_scales = Enhancement(self.num_gates * channels)

    def gates(self, x: Tensor, hidden: Tensor, memory: Tensor) -> Tensor:
        z = torch.relu(self.reduction(self.input_scale(x) + self.hidden_scale(hidden)))
        z = repeat_entries(z, self.ratio)
        return self.gate_scales(torch.cat((z,) * self.num_gates, dim=-1))

    def step(self, gates: Tuple[Tensor, ...], memory: Tensor) -> State:
        """See :meth:`RecurrentCell.step`; the gates are i, f, g, o."""
        i, f, g, o = gates
        memory = update_memory(i, f, g, memory)
        return torch.sigmoid(o) * torch.sigmoid(memory), memory

    def zero_gate(self) -> float:
        constant_init(self.gate_scales, 0)
        return 0.25  # sigmoid(0) * sigmoid(0)
