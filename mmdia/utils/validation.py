"""Checks of arguments."""

from numbers import Integral


def check_int(name: str, value: int, minimum: int = 1) -> None:
    """Check that an argument is an integer and large enough.

    Args:
        name (str): The argument's name.
        value (int): The value given.
        minimum (int): The least value that is allowed. Defaults to 1.

    Raises:
        TypeError: If the value is not an integer.
        ValueError: If it is smaller than ``minimum``.
    """
    message = f'{name} must be an integer of at least {minimum}, got {value!r}'
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(message)
    if value < minimum:
        raise ValueError(message)
