"""Settings of all tests."""

import os
from functools import cache

# One thread a process: tests run in parallel, and sums keep their order.
os.environ.setdefault('OMP_NUM_THREADS', '1')


import gc
import signal

import pytest
import torch
from mmengine.fileio import load
from mmengine.registry import DefaultScope
from mmengine.runner import checkpoint
from mmengine.visualization import Visualizer


def pytest_collection_finish() -> None:
    """Take what was imported out of the garbage collector's sight, which tests look through."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def reproducible() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def default_scope(monkeypatch) -> None:
    """Runs and configs set one for the process, and some defaults of backbones depend on it."""
    monkeypatch.setattr(DefaultScope, '_instance_dict', type(DefaultScope._instance_dict)())


@pytest.fixture(autouse=True)
def visualizer(monkeypatch) -> None:
    """Hooks take the one that was built last, also by another test."""
    monkeypatch.setattr(Visualizer, '_instance_dict', type(Visualizer._instance_dict)())


@pytest.fixture(autouse=True)
def readers_of_checkpoints(monkeypatch) -> None:
    """Tools change them for the process in which they run."""
    loader = checkpoint.CheckpointLoader
    monkeypatch.setattr(loader, '_schemes', dict(loader._schemes))
    monkeypatch.setattr(checkpoint, 'load_from_http', checkpoint.load_from_http)


@pytest.fixture(autouse=True)
def signals():
    """Processes that are forked later inherit handlers, and may not end when terminated."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    after = {number: signal.getsignal(number) for number in before}
    for number in before:
        signal.signal(number, before[number])
    assert after == before, 'handlers of signals are left behind'


@pytest.fixture(autouse=True)
def delete_large_files(request):
    """Delete checkpoints after a test: all tests together would leave 7 GB."""
    folder = request.getfixturevalue('tmp_path') if 'tmp_path' in request.fixturenames else None
    yield
    for path in folder.rglob('*') if folder else ():
        if path.is_file() and path.stat().st_size > 2**20:
            path.unlink()


@pytest.fixture(scope='module')
def metafiles_are_read_once():
    """MMEngine reads all metafiles of a library for every config inherited from it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmengine.config.utils.load', cache(load))
        yield
