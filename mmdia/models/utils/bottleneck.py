"""Bottlenecks of vectors: few channels between many."""

from torch import nn

from mmdia.utils import check_int


def reduce_channels(channels: int, ratio: int) -> int:
    """The width of a bottleneck, ``channels // ratio``.

    Args:
        channels (int): Number of channels to reduce.
        ratio (int): Reduction ratio.

    Returns:
        int: The reduced number of channels, at least 1.

    Raises:
        TypeError: If ``ratio`` is not an integer.
        ValueError: If ``ratio`` is not in 1 ... ``channels``.
    """
    check_int('ratio', ratio)
    if ratio > channels:
        raise ValueError(
            f'ratio must be at most the number of channels it reduces, {channels}, got {ratio}'
        )
    return channels // ratio


class BottleneckMLP(nn.Sequential):
    """Two linear layers, a narrow one and one that widens again, with a ReLU between.

    Args:
        in_channels (int): Length of the input.
        mid_channels (int): Length in the middle.
        out_channels (int): Length of the output.
        bias (bool): Whether the layers have biases. Defaults to True.
    """

    def __init__(
        self, in_channels: int, mid_channels: int, out_channels: int, bias: bool = True
    ) -> None:
        super().__init__(
            nn.Linear(in_channels, mid_channels, bias=bias),
            nn.ReLU(),
            nn.Linear(mid_channels, out_channels, bias=bias),
        )
