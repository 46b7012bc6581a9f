"""Reading in threads: good files are read, evil ones are not run, and nothing stays changed."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from torch import serialization

from mmdia.apis import get_model
from mmdia.checkpoints import UnsafeCheckpointError, read_file

from .test_reader import Call

THREADS = 6
# What PyTorch takes for safe by itself; nothing in 2.1.
get_safe_globals = getattr(serialization, 'get_safe_globals', list)
NEEDS_SAFE_GLOBALS = pytest.mark.skipif(
    not hasattr(serialization, 'safe_globals'), reason='needs torch.serialization.safe_globals'
)
MODEL = 'dia-resnet50_8xb32_in1k'
SLIM = dict(
    backbone=dict(depth=18, base_channels=8, stem_channels=8, ratio=4),
    head=dict(in_channels=64, num_classes=3),
)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A good file, and an evil one."""
    monkeypatch.setenv('MMDIA_TRUST', '')
    state = get_model(MODEL, **SLIM).state_dict()
    good, evil = tmp_path / 'good.pth', tmp_path / 'evil.pth'
    torch.save(dict(state_dict=state, log=HistoryBuffer([1.0], [1])), good)
    torch.save(dict(state_dict=state, meta=Call(Path.touch, tmp_path / 'trap')), evil)
    return good, evil


def read(path):
    return read_file(path)


def build(path):
    return get_model(MODEL, str(path), **SLIM)


def read_beside_torch(path):
    """As MMEngine does, for a moment with classes that are none of ours."""
    with serialization.safe_globals([HistoryBuffer, Path.touch]):
        return read_file(path)


@pytest.mark.parametrize(
    ('function', 'count'),
    (
        pytest.param(read, 100, id='read_file'),
        pytest.param(build, 8, id='get_model'),
        pytest.param(read_beside_torch, 100, id='safe_globals', marks=NEEDS_SAFE_GLOBALS),
    ),
)
def test_threads(files, function, count):
    schemes, known = dict(CheckpointLoader._schemes), get_safe_globals()

    def try_to(i):
        try:
            function(files[i % 2])
        except UnsafeCheckpointError:
            return False
        return True

    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(try_to, range(count))) == [True, False] * (count // 2)
    assert not files[0].with_name('trap').exists()
    assert dict(CheckpointLoader._schemes) == schemes
    if function is read_beside_torch:  # which loses count in threads
        serialization.clear_safe_globals()
        serialization.add_safe_globals(known)
    assert set(get_safe_globals()) == set(known)
