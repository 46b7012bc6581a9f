"""An unpickler that makes tensors and plain values, and nothing else.

:func:`torch.load` takes this module in place of :mod:`pickle`. What a pickle may call, and the
state that it may give to what it made, is in :mod:`.plain_values`.
"""

import pickle
from collections import OrderedDict
from typing import Any, BinaryIO, Callable

import torch

from .plain_values import Maker, NotPlainError, check, check_key, fill, is_plain, known_names

# What :func:`torch.save` writes, beside the opcodes below.
OPCODES = (
    *(pickle.PROTO, pickle.STOP, pickle.MARK, pickle.GLOBAL),
    *(pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.BINFLOAT, pickle.LONG1),
    *(pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.BINUNICODE, pickle.SHORT_BINSTRING),
    *(pickle.EMPTY_LIST, pickle.EMPTY_DICT, pickle.EMPTY_SET, pickle.EMPTY_TUPLE),
    *(pickle.APPEND, pickle.APPENDS, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
    *(pickle.BINGET, pickle.LONG_BINGET, pickle.BINPUT, pickle.LONG_BINPUT),
)


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
        check(type(maker) is Maker, f'a call of {type(maker).__name__}')
        self.append(maker.function(*args))

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
