"""The width of bottlenecks."""

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
