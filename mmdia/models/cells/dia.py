"""The cell of DIA-LSTM."""

from typing import Optional, Tuple, Union

import torch
from torch import Tensor

from mmdia.registry import MODELS
from mmdia.utils import check_choice

from .activation import ACTIVATIONS
from .base import State, update_memory
from .bottleneck import BottleneckCell


@MODELS.register_module()
class DIACell(BottleneckCell):
    """The LSTM cell of DIANet: bottleneck projections and a sigmoid output.

    ``c = sigmoid(f) * c + sigmoid(i) * tanh(g)``,
    ``h = sigmoid(o) * sigmoid(c)``, with (i, f, g, o) the sum of a bottleneck
    of the input and one of h. The standard LSTM projects linearly and ends in
    tanh.

    Source: Huang et al., `DIANet: Dense-and-Implicit Attention Network
    <https://arxiv.org/abs/1905.10671>`_, section "Modified LSTM Module".
    Input and hidden vector have a first linear layer each, which their four
    gates share: about 5 N^2 / r parameters for either (appendix C).

    Args:
        in_channels (int): See :class:`RecurrentCell`.
        hidden_channels (int, optional): See :class:`RecurrentCell`.
        ratio (int, optional): Reduction ratio r; None for linear layers
            without a bottleneck. Defaults to 20.
        activation (str): What is applied to the memory for the output:
            ``'sigmoid'``, ``'tanh'`` or ``'relu'`` (Table 6).
            Defaults to ``'sigmoid'``.
        init_cfg (dict | list[dict], optional): Initialization config. Defaults to None.

    Raises:
        TypeError: If ``ratio`` is not an integer.
        ValueError: If ``ratio`` or ``activation`` is not allowed.
    """

    num_gates = 4

    def __init__(
        self,
        in_channels: int,
        hidden_channels: Optional[int] = None,
        ratio: Optional[int] = 20,
        activation: str = 'sigmoid',
        init_cfg: Optional[Union[dict, list]] = None,
    ) -> None:
        check_choice('activation', activation, ('sigmoid', 'tanh', 'relu'))
        super().__init__(in_channels, hidden_channels, ratio, init_cfg)
        self.activation = ACTIVATIONS[activation]

    def step(self, gates: Tuple[Tensor, ...], memory: Tensor) -> State:
        """See :meth:`RecurrentCell.step`; the gates are i, f, g, o."""
        i, f, g, o = gates
        memory = update_memory(i, f, g, memory)
        return torch.sigmoid(o) * self.activation(memory), memory
