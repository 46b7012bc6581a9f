"""The dynamic sharing unit of dynamic layer attention."""

from typing import Optional, Tuple, Union

import torch
from torch import Tensor, nn

from mmdia.registry import MODELS
from mmdia.utils import check_choice

from ..utils import reduce_channels
from .activation import ACTIVATIONS
from .base import State, update_memory
from .bottleneck import BottleneckCell


@MODELS.register_module()
class DSUCell(BottleneckCell):
    """The Dynamic Sharing Unit (DSU): a DIA cell without output gate.

    ``c = sigmoid(f) * c + sigmoid(i) * tanh(g)``, ``h = sigmoid(c)``, with
    (i, f, g) the sum of a bottleneck of the input and one of h, or one
    bottleneck of both.

    Source: Wang et al., `Strengthening Layer Interaction via Dynamic Layer
    Attention <https://arxiv.org/abs/2406.13392>`_, section "Dynamic Sharing
    Unit". ``fusion='separate'`` is the released code, which the parameter
    counts of Tables 1, 4 and 6 follow, and starts from c = h = 0;
    ``fusion='concat', initial_memory='random'`` are the equations.

    Args:
        in_channels (int): See :class:`RecurrentCell`.
        hidden_channels (int, optional): See :class:`RecurrentCell`.
        ratio (int, optional): Reduction ratio r; None, for linear layers
            without a bottleneck, goes with ``'separate'`` only.
            Defaults to 20.
        fusion (str): ``'separate'``, a bottleneck each for input and hidden
            vector, all layers with biases; or ``'concat'``, one bottleneck
            whose first layer has no bias. Defaults to ``'separate'``.
        input_activation (str): What normalises the memory that the gates
            read: ``'sigmoid'``, ``'tanh'``, ``'relu'`` or ``'identity'``
            (Table 5). Defaults to ``'sigmoid'``.
        initial_memory (str): What c is before the first block: ``'zeros'``, with
            h = 0 too; or ``'random'``, a learned vector that training starts
            from a normal distribution, with h = sigmoid(c).
            Defaults to ``'zeros'``.
        init_cfg (dict | list[dict], optional): Initialization config. Defaults to None.

    Raises:
        TypeError: If ``ratio`` is not an integer.
        ValueError: If an argument has a value that is not allowed.
    """

    num_gates = 3

    def __init__(
        self,
        in_channels: int,
        hidden_channels: Optional[int] = None,
        ratio: Optional[int] = 20,
        fusion: str = 'separate',
        input_activation: str = 'sigmoid',
        initial_memory: str = 'zeros',
        init_cfg: Optional[Union[dict, list]] = None,
    ) -> None:
        check_choice('fusion', fusion, ('separate', 'concat'))
        check_choice('input_activation', input_activation, ACTIVATIONS)
        check_choice('initial_memory', initial_memory, ('zeros', 'random'))
        if fusion == 'concat' and ratio is None:
            raise ValueError("ratio must be an integer where fusion is 'concat', got None")
        self.fusion = fusion
        self.normalize = ACTIVATIONS[input_activation]
        self.reads_hidden = fusion == 'separate' and input_activation == 'sigmoid'
        super().__init__(in_channels, hidden_channels, ratio, init_cfg)
        self.initial_memory = None
        if initial_memory == 'random':
            self.initial_memory = nn.Parameter(torch.empty(self.hidden_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Give the memory before the first block its first values."""
        if self.initial_memory is not None:
            nn.init.normal_(self.initial_memory)

    def initial_state(self, x: Tensor) -> State:
        if self.initial_memory is None:
            return super().initial_state(x)
        memory = self.initial_memory.expand(x.shape[0], -1)
        return torch.sigmoid(memory), memory

    def zero_gate(self) -> float:
        if self.initial_memory is not None:
            nn.init.zeros_(self.initial_memory)
        return super().zero_gate()

    def build_projections(self) -> None:
        if self.fusion == 'separate':
            super().build_projections()
            return
        mid_channels = reduce_channels(self.hidden_channels, self.ratio)
        self.joint_gates = nn.Sequential(
            nn.Linear(self.in_channels + self.hidden_channels, mid_channels, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(mid_channels, self.num_gates * self.hidden_channels),
        )

    def gates(self, x: Tensor, hidden: Tensor, memory: Tensor) -> Tensor:
        # h is sigmoid(c), except before the first block, where it is zero.
        read = hidden if self.reads_hidden else self.normalize(memory)
        if self.fusion == 'separate':
            return super().gates(x, read, memory)
        read = read + torch.zeros_like(x[..., :1])  # one for each input
        return self.joint_gates(torch.cat((read, x), dim=-1))

    def step(self, gates: Tuple[Tensor, ...], memory: Tensor) -> State:
        """See :meth:`RecurrentCell.step`; the gates are i, f, g."""
        i, f, g = gates
        memory = update_memory(i, f, g, memory)
        return torch.sigmoid(memory), memory
