"""An unpickler that makes tensors, plain values and what MMEngine saves besides, and nothing else.

:func:`torch.load` takes this module in place of :mod:`pickle`. A training run saves its logs
(arrays of NumPy in history buffers, which refer to their own methods), scores (scalars of NumPy),
and the methods by which OneCycleLR anneals; training scripts of papers save their options. A pickle
names what it calls: each name stands for a function here, or is refused.
"""

import pickle
import re
from argparse import Namespace
from collections import Counter, OrderedDict
from functools import cache, partial
from typing import Any, BinaryIO, Callable, Dict

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler
from torch import _utils

# What :func:`torch.save` writes, beside the opcodes that Unpickler has methods for.
OPCODES = (
    *(pickle.PROTO, pickle.STOP, pickle.MARK, pickle.GLOBAL),
    *(pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.BINFLOAT, pickle.LONG1),
    *(pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.BINUNICODE, pickle.SHORT_BINSTRING),
    *(pickle.EMPTY_LIST, pickle.EMPTY_DICT, pickle.EMPTY_SET, pickle.EMPTY_TUPLE),
    *(pickle.APPEND, pickle.APPENDS, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
    *(pickle.BINGET, pickle.LONG_BINGET, pickle.BINPUT, pickle.LONG_BINPUT),
)
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


class NotPlainError(pickle.UnpicklingError):
    """A pickle holds more than tensors and plain values.

    Args:
        name (str): What it holds.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f'{name} is no plain value')
        self.name = name


def check(condition: bool, problem: str) -> None:
    """Raise an ``UnpicklingError`` unless a condition holds."""
    if not condition:
        raise pickle.UnpicklingError(problem)


def check_key(key: Any) -> Any:
    """Check a key of a dict: tuples in tuples can exhaust the stack of whoever hashes them."""
    parts = key if type(key) is tuple else (key,)
    check(all(isinstance(part, KEYS) for part in parts), f'a {type(key).__name__} as key')
    return key


def make_bytes(text: str = '', encoding: str = 'latin1') -> bytes:
    """Bytes, which protocol 2 writes as text."""
    check(type(text) is str and encoding in ('latin1', 'latin-1'), f'bytes in {encoding!r}')
    return text.encode('latin1')


def make_dtype(code: str, *_: bool) -> np.dtype:
    """Stand for ``np.dtype``."""
    check(DTYPE.fullmatch(code) is not None, f'the type {code!r} of NumPy')
    return np.dtype(code)


def make_array(dtype: np.dtype, data: bytes) -> np.ndarray:
    """Values of NumPy in one dimension, from their bytes."""
    check(isinstance(dtype, np.dtype) and type(data) is bytes, 'values of NumPy of another kind')
    return np.frombuffer(data, dtype)


def make_scalar(dtype: np.dtype, data: bytes) -> np.generic:
    """A number of NumPy, or a text."""
    (value,) = make_array(dtype, data)
    return value


def find_method(owner: Any, name: str) -> Callable:
    """Stand for ``getattr``, of whatever: a method of :data:`METHODS`, and nothing else."""
    if name not in METHODS:
        raise NotPlainError(f'builtins.getattr of {name!r}')
    return METHODS[name]


def fill(value: Any, state: Any) -> None:
    """Give a value the state that a pickle has for it."""
    if type(value) is OrderedDict:  # the versions of all modules, in a state dict
        value._metadata = state['_metadata']
    elif type(value) is Namespace:
        check(not any(name.startswith('__') for name in state), 'options that are no names')
        vars(value).update(state)
    elif type(value) is HistoryBuffer:  # its methods are those of this version
        for name in ('_log_history', '_count_history', 'max_length'):
            setattr(value, name, state[name])
    elif type(value) is np.ndarray:
        _, shape, dtype, is_fortran, data = state
        array = make_array(dtype, data).reshape(shape, order='F' if is_fortran else 'C')
        value.__setstate__(array.__reduce__()[2])
    else:
        check(isinstance(value, np.dtype), f'a state of {type(value).__name__}')
        # Nothing to fill: structures and other byte orders have more.
        check(state[1] in ('|', np.dtype('i4').str[0]), 'the byte order of another machine')
        check(state[2:5] == (None, None, None), 'a structure of NumPy')


def is_plain(dtype: Any) -> bool:
    """Whether something is a type of tensors that are read."""
    return isinstance(dtype, torch.dtype) and TENSOR_DTYPE.fullmatch(str(dtype)) is not None


@cache
def known_names() -> Dict[str, Any]:
    """All that a pickle may name; what it may call is a ``partial``."""
    makers = {
        '_codecs.encode': make_bytes,
        'argparse.Namespace': Namespace,
        'collections.Counter': lambda counts: Counter({**counts}),  # of nothing but a dict
        'collections.OrderedDict': lambda items=(): OrderedDict(
            (check_key(k), v) for k, v in items
        ),
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
        makers[f'{module}._reconstruct'] = lambda *_: np.empty(0)  # to be filled
        makers[f'{module}.scalar'] = make_scalar
    return {
        **{name: partial(function) for name, function in makers.items()},
        **{str(dtype): dtype for dtype in vars(torch).values() if is_plain(dtype)},
        'torch.storage.UntypedStorage': torch.UntypedStorage,
        # Named as arguments, and not called.
        'numpy.ndarray': np.ndarray,
        f'{OneCycleParamScheduler.__module__}.OneCycleParamScheduler': OneCycleParamScheduler,
    }


class Unpickler(pickle._Unpickler):
    """Reads one pickle; see :class:`pickle.Unpickler`.

    Args:
        file (BinaryIO): The pickle.
        room (Callable): Takes the key of a storage; how many bytes the checkpoint
            has for it at most.

    Raises:
        NotPlainError: If it names anything but tensors and plain values.
        Exception: Of any kind, if it is damaged.
    """

    dispatch = {code[0]: pickle._Unpickler.dispatch[code[0]] for code in OPCODES}

    def __init__(self, file: BinaryIO, room: Callable[[Any], int], **options: Any) -> None:
        super().__init__(file, **options)
        self.room = room

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name."""
        full_name = f'{module}.{name}'
        if full_name not in known_names():
            raise NotPlainError(full_name)
        return known_names()[full_name]

    def load_call(self) -> None:
        """Call what may be called."""
        args, maker = self.stack.pop(), self.stack.pop()
        check(type(maker) is partial, f'a call of {type(maker).__name__}')
        self.append(maker(*args))

    def load_state(self) -> None:
        """Fill what has to be filled."""
        state = self.stack.pop()
        fill(self.stack[-1], state)

    def load_storage(self) -> None:
        """Read the storage of a tensor."""
        storage = self.stack.pop()
        check(type(storage) is tuple and storage[0] == 'storage', 'a reference to no storage')
        _, kind, key, location, length = storage[:5]
        dtype = torch.uint8 if kind is torch.UntypedStorage else kind.dtype
        if not is_plain(dtype):
            raise NotPlainError(str(dtype))
        check(location not in ('meta', b'meta'), 'a tensor without values')
        # PyTorch compares them since 2.10, and reads beyond the end before.
        fits = type(length) is int and 0 <= length * dtype.itemsize <= self.room(key)
        check(fits, f'a storage of {length} values, for which there are too few')
        self.append(self.persistent_load(storage))  # of torch.load

    def load_entries(self) -> None:
        """Update a dict."""
        entries = iter(self.pop_mark())
        check(type(self.stack[-1]) in (dict, OrderedDict), 'entries of no dict')
        self.stack[-1].update((check_key(key), value) for key, value in zip(entries, entries))

    def load_entry(self) -> None:
        """Add to a dict."""
        self.metastack.append(self.stack[:-2])
        self.stack = self.stack[-2:]
        self.load_entries()

    dispatch[pickle.REDUCE[0]] = dispatch[pickle.NEWOBJ[0]] = load_call
    dispatch[pickle.BUILD[0]] = load_state
    dispatch[pickle.BINPERSID[0]] = load_storage
    dispatch[pickle.SETITEM[0]], dispatch[pickle.SETITEMS[0]] = load_entry, load_entries


def load(file: Any, **options) -> Any:
    """Read one pickle; see :func:`pickle.load`."""
    return Unpickler(file, **options).load()
