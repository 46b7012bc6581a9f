"""What a checkpoint may hold: tensors, plain values, and what MMEngine saves besides.

A training run saves its logs (arrays of NumPy in history buffers, which refer to their own
methods), scores (scalars of NumPy), and the methods by which OneCycleLR anneals. Training scripts
of papers save their options. A pickle names what it calls; each name stands for a function here,
or is refused.
"""

import re
from argparse import Namespace
from collections import Counter, OrderedDict
from dataclasses import dataclass
from functools import cache
from pickle import UnpicklingError
from typing import Any, Callable, Dict

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler
from torch import _utils

# Numbers, and texts of a fixed length.
DTYPE = re.compile(r'b1|[iu][1248]|f[248]|c8|c16|[SU]\d{1,6}')
# Numbers, which are neither quantized nor packed.
TENSOR_DTYPE = re.compile(
    r'torch\.(bool|u?int(8|16|32|64)|float(16|32|64|8_\w+)|bfloat16|complex(32|64|128))'
)
KEYS = (str, bytes, int, float, complex, type(None), np.generic)
# What makes tensors from their storages. PyTorch 2.1 lacks the last.
TENSORS = ('_rebuild_tensor', '_rebuild_parameter', '_rebuild_tensor_v2', '_rebuild_tensor_v3')
# Methods that logs and schedules refer to.
METHODS = {name: getattr(HistoryBuffer, name) for name in ('min', 'max', 'current', 'mean')}
for name in ('_annealing_cos', '_annealing_linear'):
    METHODS[name] = getattr(OneCycleParamScheduler, name)


class NotPlainError(UnpicklingError):
    """A pickle holds more than tensors and plain values.

    Args:
        name (str): What it holds.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f'{name} is no plain value')
        self.name = name


@dataclass
class Maker:
    """What a pickle may call.

    Args:
        function (Callable): What is called in its place.
    """

    function: Callable


def check(condition: bool, problem: str) -> None:
    """Raise an ``UnpicklingError`` unless a condition holds."""
    if not condition:
        raise UnpicklingError(problem)


def check_key(key: Any) -> Any:
    """Check a key of a dict: tuples in tuples can exhaust the stack of whoever hashes them."""
    parts = key if type(key) is tuple else (key,)
    check(all(isinstance(part, KEYS) for part in parts), f'a {type(key).__name__} as key')
    return key


# What makes values


def make_dict(items: list = ()) -> OrderedDict:
    """Stand for ``OrderedDict``."""
    return OrderedDict((check_key(key), value) for key, value in items)


def make_bytes(text: str = '', encoding: str = 'latin1') -> bytes:
    """Bytes, which protocol 2 writes as text."""
    check(type(text) is str and encoding in ('latin1', 'latin-1'), f'bytes in {encoding!r}')
    return text.encode('latin1')


def make_dtype(code: str, *_: bool) -> np.dtype:
    """Stand for ``np.dtype``."""
    check(DTYPE.fullmatch(code) is not None, f'the type {code!r} of NumPy')
    return np.dtype(code)


def make_values(dtype: np.dtype, data: bytes) -> np.ndarray:
    """Values of NumPy in one dimension, from their bytes."""
    check(isinstance(dtype, np.dtype) and dtype.itemsize > 0, 'values of NumPy without a type')
    check(type(data) is bytes and len(data) % dtype.itemsize == 0, 'a part of a value of NumPy')
    values = np.frombuffer(data, dtype)
    for kind, code, last in (('b', 'u1', 1), ('U', 'u4', 0x10FFFF)):  # not all bits are values
        bits = values.view(code) if dtype.kind == kind else np.empty(0)
        check(bits.max(initial=0) <= last, f'a {dtype} that is none')
    return values


def make_scalar(dtype: np.dtype, data: bytes) -> np.generic:
    """A number of NumPy, or a text."""
    (value,) = make_values(dtype, data)
    return value


def make_array(*_: Any) -> np.ndarray:
    """An array to be filled; subclasses have no known names."""
    return np.empty(0)


def find_method(owner: Any, name: str) -> Callable:
    """Stand for ``getattr``, of whatever: a method of :data:`METHODS`, and nothing else."""
    if name not in METHODS:
        raise NotPlainError(f'builtins.getattr of {name!r}')
    return METHODS[name]


# What fills them


def fill_dict(values: OrderedDict, state: dict) -> None:
    """Set what ``nn.Module.state_dict`` adds: the versions of all modules."""
    values._metadata = state['_metadata']


def fill_namespace(options: Namespace, state: dict) -> None:
    """Set options by their names."""
    check(not any(name.startswith('__') for name in state), 'options that are no names')
    vars(options).update(state)


def fill_dtype(dtype: np.dtype, state: tuple) -> None:
    """Check that there is nothing to fill: structures and other byte orders have more."""
    check(state[1] in ('|', np.dtype('i4').str[0]), 'the byte order of another machine')
    check(state[2:5] == (None, None, None), 'a structure of NumPy')


def fill_array(array: np.ndarray, state: tuple) -> None:
    """Set shape, type and values, where they fit."""
    _, shape, dtype, is_fortran, data = state
    values = make_values(dtype, data).reshape(shape, order='F' if is_fortran else 'C')
    array.__setstate__(values.__reduce__()[2])


def fill_history(history: HistoryBuffer, state: dict) -> None:
    """Set values and counts; the methods are those of this version."""
    for name in ('_log_history', '_count_history', 'max_length'):
        setattr(history, name, state[name])


FILLERS = {
    OrderedDict: fill_dict,
    Namespace: fill_namespace,
    HistoryBuffer: fill_history,
    np.ndarray: fill_array,
}


def fill(value: Any, state: Any) -> None:
    """Give a value the state that a pickle has for it."""
    filler = fill_dtype if isinstance(value, np.dtype) else FILLERS.get(type(value))
    check(filler is not None, f'a state of {type(value).__name__}')
    filler(value, state)


def is_plain(dtype: Any) -> bool:
    """Whether something is a type of tensors that are read."""
    return isinstance(dtype, torch.dtype) and TENSOR_DTYPE.fullmatch(str(dtype)) is not None


@cache
def known_names() -> Dict[str, Any]:
    """All that a pickle may name."""
    makers = {
        '_codecs.encode': make_bytes,
        'argparse.Namespace': Namespace,
        'collections.Counter': lambda counts: Counter({**counts}),  # of nothing but a dict
        'collections.OrderedDict': make_dict,
        'numpy.dtype': make_dtype,
        'torch.Size': torch.Size,
        'torch.device': torch.device,
        f'{HistoryBuffer.__module__}.HistoryBuffer': lambda: HistoryBuffer(),
    }
    for name in TENSORS:
        if hasattr(_utils, name):
            makers[f'torch._utils.{name}'] = getattr(_utils, name)
    for module in ('builtins', '__builtin__'):  # of Python 3 and of its protocol 2
        makers[f'{module}.bytes'] = make_bytes
        makers[f'{module}.complex'] = complex
        makers[f'{module}.getattr'] = find_method
        makers[f'{module}.set'] = lambda values: set(map(check_key, values))
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):  # before NumPy 2, and since
        makers[f'{module}._reconstruct'] = make_array
        makers[f'{module}.scalar'] = make_scalar
    return {
        **{name: Maker(function) for name, function in makers.items()},
        **{str(dtype): dtype for dtype in vars(torch).values() if is_plain(dtype)},
        'torch.storage.UntypedStorage': torch.UntypedStorage,
        # Named as arguments, and not called.
        'numpy.ndarray': np.ndarray,
        f'{OneCycleParamScheduler.__module__}.OneCycleParamScheduler': OneCycleParamScheduler,
    }
