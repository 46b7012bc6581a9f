"""Cells whose projections are bottlenecks."""

from typing import Optional, Union

from torch import nn

from ..utils import BottleneckMLP, reduce_channels
from .base import RecurrentCell


class BottleneckCell(RecurrentCell):
    """A recurrent cell whose projections are two linear layers with a ReLU.

    They reduce the vector by ``ratio`` and expand it to all gates, which takes
    the parameters of a cell of N channels from O(N^2) to O(N^2 / ratio).

    Args:
        in_channels (int): See :class:`RecurrentCell`.
        hidden_channels (int, optional): See :class:`RecurrentCell`.
        ratio (int, optional): Reduction ratio r; the narrow layer has
            ``N // r`` channels. None stands for one linear layer without a
            bottleneck. Defaults to 20, the papers' choice for ImageNet.
        init_cfg (dict | list[dict], optional): Initialization config. Defaults to None.

    Raises:
        TypeError: If ``ratio`` is not an integer.
        ValueError: If ``ratio`` is not in 1 ... the number of channels.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: Optional[int] = None,
        ratio: Optional[int] = 20,
        init_cfg: Optional[Union[dict, list]] = None,
    ) -> None:
        self.ratio = ratio
        super().__init__(in_channels, hidden_channels, init_cfg)

    def build_projection(self, in_channels: int, out_channels: int) -> nn.Module:
        if self.ratio is None:
            return super().build_projection(in_channels, out_channels)
        mid_channels = reduce_channels(in_channels, self.ratio)
        return BottleneckMLP(in_channels, mid_channels, out_channels)
