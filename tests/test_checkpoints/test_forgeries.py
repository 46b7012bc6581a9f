"""Forged and mutated pickles, in a process of their own: they are refused, and nothing crashes."""

import io
import multiprocessing
import os
import random
import zipfile
from argparse import Namespace
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler
from torch import _utils

from mmdia.checkpoints import read_file

from .conftest import to_bytes

NATIVE = (3, '<', None, None, None, -1, -1, 0)
RECONSTRUCT = (np.ndarray, (0,), b'b')
METHODS = dict(HistoryBuffer()._statistics_methods)


class Forged:
    """Pickled as a call of anything, and a state for what it makes."""

    def __init__(self, function, *args, state=None):
        self.parts = (function, args) if state is None else (function, args, state)

    def __reduce__(self):
        return self.parts

    def __call__(self):
        """Picklers want what is called to be callable."""


def forged_dtype(code, state=NATIVE):
    return Forged(np.dtype, code, False, True, state=state)


def forged_array(shape, dtype, data, function=np.arange(1).__reduce__()[0], args=RECONSTRUCT):
    return Forged(function, *args, state=(1, shape, dtype, False, data))


def forged_history(**state):
    good = dict(_log_history=np.ones(2), _count_history=np.ones(2), max_length=10)
    return Forged(HistoryBuffer, state={**good, **state})


SCALAR = np.float64(1).__reduce__()[0]
OBJECTS = (3, '|', None, ('a',), {'a': (np.dtype('O'), 0)}, 8, 8, 63)
NUMBERS = (3, '|', None, ('a',), {'a': (np.dtype('f4'), 0)}, 8, 8, 16)
STORAGE = torch.arange(4.0)._typed_storage()
FORGERIES = {
    'object-dtype': np.dtype('O'),
    'object-array': np.array([{}, []], dtype=object),
    'structure': np.zeros(2, [('a', 'f4')]),
    'void': np.zeros(2, 'V8'),
    'time': np.zeros(2, 'M8[s]'),
    'byte-order': np.zeros(2, '>f8'),
    'record': np.zeros(2, [('a', 'f4')]).view(np.recarray),
    'fields-by-state': forged_dtype('f8', OBJECTS),
    'fields-of-text': forged_dtype('S8', OBJECTS),
    'fields-of-numbers': forged_dtype('f8', NUMBERS),
    'state-that-is-none': forged_dtype('f8', (3,)),
    'code-that-is-none': forged_dtype(7),
    'code-of-many': forged_dtype('2f8,O'),
    'array-of-forged': forged_array((1,), forged_dtype('f8', OBJECTS), b'12345678'),
    'array-of-objects': forged_array((1,), forged_dtype('O8', OBJECTS), b'12345678'),
    'array-too-long': forged_array((9,), np.dtype('f8'), b'12345678'),
    'array-too-short': forged_array((0,), np.dtype('f8'), b'12345678'),
    'array-negative': forged_array((-1, -1), np.dtype('f8'), b'12345678'),
    'array-overflow': forged_array((2**33, 2**33), np.dtype('f8'), b'12345678'),
    'array-of-floats': forged_array((1.0,), np.dtype('f8'), b'12345678'),
    'array-of-part': forged_array((1,), np.dtype('f8'), b'1234567'),
    'array-of-list': forged_array((1,), np.dtype('f8'), [1.0]),
    'array-without-dtype': forged_array((1,), 'f8', b'12345678'),
    'array-of-class': Forged(np.ndarray, (3,), 'O'),
    'scalar-too-short': Forged(SCALAR, np.dtype('f8'), b'1234'),
    'scalar-too-long': Forged(SCALAR, np.dtype('f8'), b'12345678' * 2),
    'scalar-of-object': Forged(SCALAR, np.dtype('O'), b'12345678'),
    'history-of-methods': forged_history(max_length=eval),
    'history-of-nothing': Forged(HistoryBuffer, state=dict(statistics_methods={})),
    'history-with-arguments': Forged(HistoryBuffer, [1], [1]),
    'scheduler': Forged(OneCycleParamScheduler, 1),
    'method-of-object': Forged(getattr, Namespace(a=1), 'a'),
    'method-call': Forged(Forged(getattr, HistoryBuffer, 'mean'), 1),
    'options': Forged(Namespace, state={'__class__': 1}),
    'options-of-numbers': Forged(Namespace, state={1: 1}),
    'attributes-of-dict': Forged(OrderedDict, state=dict(items=1)),
    'state-of-tensor': Forged(torch.Size, (1,), state=(1, 2)),
    'state-of-another-kind': Forged(torch.Size, (1,), state=NATIVE),
    'state-of-class': Forged(OrderedDict, state=(None, dict(update=1))),
    'eval': Forged(eval, '1'),
    'import': Forged(__import__, 'os'),
    'class': Forged(torch.nn.Linear, 1, 1),
    'wrapper': Forged(_utils._rebuild_wrapper_subclass, torch.Tensor),
    'tensor-too-long': Forged(_utils._rebuild_tensor_v2, STORAGE, 0, (9,), (1,), False, None),
    'tensor-beyond': Forged(_utils._rebuild_tensor_v2, STORAGE, 3, (2,), (1,), False, None),
    'tensor-before': Forged(_utils._rebuild_tensor_v2, STORAGE, -1, (2,), (1,), False, None),
    'tensor-negative': Forged(_utils._rebuild_tensor_v2, STORAGE, 0, (-2,), (1,), False, None),
    'tensor-backwards': Forged(_utils._rebuild_tensor_v2, STORAGE, 3, (2,), (-1,), False, None),
    'tensor-overflow': Forged(
        _utils._rebuild_tensor_v2, STORAGE, 0, (2**40, 2**40), (1, 1), False, None
    ),
    'tensor-of-list': Forged(_utils._rebuild_tensor_v2, [1.0], 0, (1,), (1,), False, None),
    'quantized': torch.quantize_per_tensor(torch.ones(2), 1.0, 0, torch.qint8),
    'quantized-storage': Forged(
        _utils._rebuild_tensor, torch.empty(0, dtype=torch.qint8)._typed_storage(), 0, (0,), (1,)
    ),
    'quantized-type': torch.qint32,
    'packed-type': torch.quint4x2,
    'bits': torch.bits8,
    'bytes-of-a-size': Forged(bytes, 2**40),
    'bytearray-of-a-size': Forged(bytearray, 2**40),
    'codec': Forged(__import__('_codecs').encode, 'a', 'rot13'),
}


def survives(target, *args):
    """Run a function in a process of its own, which neither crashes nor raises."""
    process = multiprocessing.get_context('fork').Process(target=target, args=args)
    process.start()
    process.join(120)
    process.kill()
    assert process.exitcode == 0


def refuse(folder, value):
    for name, zipped in (('zip.pth', True), ('legacy.pth', False)):
        torch.save(dict(a=value), folder / name, _use_new_zipfile_serialization=zipped)
        refuse_file(folder / name)


def refuse_file(path):
    with pytest.raises(ValueError, match=f'checkpoint {path} (holds|is truncated)'):
        read_file(path)
    assert HistoryBuffer._statistics_methods == METHODS


@pytest.mark.parametrize('name', FORGERIES)
def test_forgery(tmp_path, name):
    survives(refuse, tmp_path, FORGERIES[name])


@pytest.mark.parametrize('zipped', (True, False))
def test_locations_without_values(tmp_path, zipped):
    path = tmp_path / 'forged.pth'
    torch.save(torch.ones(2), path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    old, new = (b'X' + bytes((len(name), 0, 0, 0)) + name for name in (b'cpu', b'meta'))
    if zipped:
        content = rezip(content, pickle_of(content).replace(old, new))
    else:
        content = content.replace(old, new)
    assert new in content
    path.write_bytes(content)
    refuse_file(path)


# As many as PyTorch before 2.10 believes.
@pytest.mark.parametrize(('zipped', 'length'), ((True, 5), (True, 2**31 - 1), (False, 2**31 - 1)))
def test_storages_longer_than_their_data(tmp_path, zipped, length):
    path = tmp_path / 'forged.pth'
    torch.save(torch.ones(4), path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    end = b't' if zipped else b'Nt'
    old, new = b'K\x04' + end, b'J' + length.to_bytes(4, 'little') + end
    if zipped:
        content = rezip(content, pickle_of(content).replace(old, new))
    else:
        content = content.replace(old, new)
    assert new in content
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f'a storage of {length} values, for which there are too'):
        read_file(path)


# Whoever hashes tuples in tuples calls itself for each.
@pytest.mark.parametrize(
    ('before', 'after'),
    (
        (b'}', b'K\x01s.'),
        (b'c__builtin__\nset\n]', b'a\x85R.'),
        (b'ccollections\nOrderedDict\n]', b'K\x01\x86a\x85R.'),
    ),
)
def test_nested_keys(tmp_path, before, after):
    path = tmp_path / 'forged.pth'
    pickled = b'\x80\x02' + before + b')' + b'\x85' * 200_000 + after
    path.write_bytes(rezip(to_bytes({}), pickled))
    survives(refuse_file, path)


def test_state_of_what_may_be_called(tmp_path):
    path = tmp_path / 'forged.pth'
    path.write_bytes(rezip(to_bytes({}), b'\x80\x02ccollections\nOrderedDict\n}b.'))
    survives(refuse_file, path)


def test_script(tmp_path):
    torch.jit.script(torch.nn.ReLU()).save(tmp_path / 'script.pth')
    with pytest.raises(ValueError, match='holds a program in TorchScript'):
        read_file(tmp_path / 'script.pth')


# Mutations


def rezip(checkpoint, pickled):
    """Replace the pickle in a checkpoint."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(checkpoint)) as old, zipfile.ZipFile(target, 'w') as new:
        for name in old.namelist():
            new.writestr(name, pickled if name.endswith('data.pkl') else old.read(name))
    return target.getvalue()


def pickle_of(checkpoint):
    with zipfile.ZipFile(io.BytesIO(checkpoint)) as file:
        return next(file.read(name) for name in file.namelist() if name.endswith('data.pkl'))


def mutate(data, others, rng):
    """Change some bytes: others, missing, repeated, or of another pickle."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 5))):
        start = rng.randrange(len(data))
        end = min(len(data), start + rng.choice((1, 1, 1, 20)))
        other = rng.choice(others)
        at = rng.randrange(len(other))
        data[start:end] = rng.choice(
            (
                bytes(rng.randrange(256) for _ in range(end - start)),
                b'',
                data[start:end] * 2,
                rng.choice(b'RbQ\x81s()t\x85\x86\x87ae}]').to_bytes(1, 'big'),
                other[at : at + rng.choice((5, 30, 60))],
            )
        )
    return bytes(data)


def read_mutated(path, trap, seed, count):
    rng = random.Random(seed)
    contents = (
        dict(state_dict=torch.nn.BatchNorm2d(2).state_dict(), meta=dict(epoch=1, scores={1, 2})),
        dict(scores=[np.float64(1), np.arange(3), np.array(['a', 'b']), np.zeros(2, 'V8')]),
        dict(
            log=HistoryBuffer([1.0, 2.0], [1, 1]), options=Namespace(lr=0.1), size=torch.Size((1,))
        ),
        dict(p=torch.nn.Parameter(torch.ones(2)), call=Forged(os.system, f'touch {trap}')),
        dict(forged=forged_dtype('f8', OBJECTS), array=forged_array((1,), np.dtype('O'), b'1' * 8)),
    )
    checkpoints = [to_bytes(content) for content in contents]
    pickles = [pickle_of(checkpoint) for checkpoint in checkpoints]
    results = dict(read=0, refused=0)
    for _ in range(count):
        i = rng.randrange(len(pickles))
        path.write_bytes(rezip(checkpoints[i], mutate(pickles[i], pickles, rng)))
        try:
            repr(read_file(path))
            results['read'] += 1
        except ValueError as error:
            assert str(path) in str(error)
            results['refused'] += 1
    assert min(results.values()) > count / 100, results
    assert HistoryBuffer._statistics_methods == METHODS


@pytest.mark.parametrize('seed', range(2))
def test_mutations(tmp_path, seed):
    survives(read_mutated, tmp_path / 'mutated.pth', tmp_path / 'trap', seed, 500)
    assert not (tmp_path / 'trap').exists()
