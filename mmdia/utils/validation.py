"""Checks of arguments. All say ``NAME must be WHAT, got VALUE``.

They take the name of an argument, its value, and what narrows down what is
allowed. They raise TypeError where the type of the value is wrong, else
ValueError. The integers and truth values of NumPy are as good as Python's.
"""

from numbers import Integral, Real
from typing import Any, NoReturn, Optional, Sequence, Type

import numpy as np
from mmengine.registry import MODELS, WEIGHT_INITIALIZERS, Registry
from torch import nn

LARGEST = 2**16  # no network is as wide or as deep


def refuse(error: Type[Exception], name: str, what: str, value: Any) -> NoReturn:
    """Raise an error that tells an argument, what it has to be, and its value."""
    raise error(f'{name} must be {what}, got {value!r}')


def is_int(value: Any) -> bool:
    """Whether a value is an integer; truth values are not."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_bool(value: Any) -> bool:
    """Whether a value is a truth value."""
    return isinstance(value, (bool, np.bool_))


def is_sequence(value: Any) -> bool:
    """Whether a value is a sequence of values; strings are not."""
    return isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, (str, bytes))


def check_type(name: str, value: Any, *kinds: type) -> None:
    """Check that an argument is of one of a few types."""
    if not isinstance(value, kinds):
        what = ' or '.join('None' if kind is type(None) else kind.__name__ for kind in kinds)
        refuse(TypeError, name, what, value)


def check_int(name: str, value: int, minimum: int = 1, maximum: int = LARGEST) -> None:
    """Check that an argument is an integer within limits."""
    what = f'an integer in {minimum} ... {maximum}'
    if not is_int(value):
        refuse(TypeError, name, what, value)
    if not minimum <= value <= maximum:
        refuse(ValueError, name, what, value)


def check_ints(
    name: str,
    values: Sequence[int],
    length: Optional[int] = None,
    minimum: int = 1,
    maximum: int = LARGEST,
) -> None:
    """Check that an argument is a sequence of one or more, or so many, integers within limits."""
    what = f'{"one or more" if length is None else length} integers in {minimum} ... {maximum}'
    if not is_sequence(values) or not all(map(is_int, values)):
        refuse(TypeError, name, what, values)
    enough = len(values) == length if length is not None else len(values) > 0
    if not enough or not all(minimum <= value <= maximum for value in values):
        refuse(ValueError, name, what, values)


def check_bool(name: str, value: bool) -> None:
    """Check that an argument is a truth value."""
    if not is_bool(value):
        refuse(TypeError, name, 'True or False', value)


def check_bools(name: str, values: Sequence[bool], length: int) -> None:
    """Check that an argument is a sequence of so many truth values."""
    what = f'{length} truth values'
    if not is_sequence(values) or not all(map(is_bool, values)):
        refuse(TypeError, name, what, values)
    if len(values) != length:
        refuse(ValueError, name, what, values)


def check_rate(name: str, value: float) -> None:
    """Check that an argument is the probability to drop something, in [0, 1)."""
    what = 'a number in [0, 1)'
    if not isinstance(value, Real) or is_bool(value):
        refuse(TypeError, name, what, value)
    if not 0 <= value < 1:
        refuse(ValueError, name, what, value)


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    """Check that an argument is one of a few strings, or one of a few integers."""
    what = f'one of {tuple(choices)}'
    if not isinstance(value, str) and not is_int(value):
        refuse(TypeError, name, what, value)
    if value not in tuple(choices):
        refuse(ValueError, name, what, value)


def check_choices(name: str, values: Sequence[str], choices: Sequence[str]) -> None:
    """Check that an argument is a sequence of one or more of a few strings."""
    what = f'a sequence of one or more of {tuple(choices)}'
    if not is_sequence(values) or not all(isinstance(value, str) for value in values):
        refuse(TypeError, name, what, values)
    if len(values) == 0 or not all(value in choices for value in values):
        refuse(ValueError, name, what, values)


def registered_type(registry: Registry, kind: Any) -> Any:
    """What a registry has under a name; other values are returned as they are."""
    if not isinstance(kind, str):
        return kind
    try:
        return registry.get(kind)
    except RuntimeError:  # neither registered nor importable
        return None


def check_layer_cfg(name: str, cfg: Optional[dict], optional: bool = False) -> None:
    """Check that an argument is the config of a layer whose type is registered."""
    if optional and cfg is None:
        return
    what = 'a dict whose type is a registered layer' + (', or None' if optional else '')
    if not isinstance(cfg, dict):
        refuse(TypeError, name, what, cfg)
    with MODELS.switch_scope_and_registry(None) as registry:  # as MMCV does
        kind = registered_type(registry, cfg.get('type'))
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        refuse(ValueError, name, what, cfg)


def check_init_cfg(name: str, cfg: Any) -> None:
    """Check that an argument is a config of MMEngine's initializers, a list of them, or None.

    An empty one initializes nothing, as in MMEngine.
    """
    what = 'a dict whose type is a registered initializer, a list of such dicts, or None'
    cfgs = [] if cfg in (None, {}) else cfg if isinstance(cfg, list) else [cfg]
    if not all(isinstance(entry, dict) for entry in cfgs):
        refuse(TypeError, name, what, cfg)
    for entry in cfgs:
        try:
            args = {key: value for key, value in entry.items() if key != 'override'}
            WEIGHT_INITIALIZERS.build(args)
        except Exception as error:  # initializers refuse in every way
            raise ValueError(f'{name} must be {what}, got {cfg!r}: {error}') from error
