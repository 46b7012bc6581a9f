"""Checks of arguments that several models take."""


def check_positive_int(name: str, value: int) -> None:
    """Check that an argument is a positive integer.

    Args:
        name (str): The argument's name.
        value (int): The value given.

    Raises:
        TypeError: If the value is not an integer.
        ValueError: If it is smaller than 1.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f'{name} must be a positive integer, got {value!r}')
    if value < 1:
        raise ValueError(f'{name} must be a positive integer, got {value}')


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
    check_positive_int('ratio', ratio)
    if ratio > channels:
        raise ValueError(
            f'ratio must be at most the number of channels it reduces, {channels}, got {ratio}'
        )
    return channels // ratio
