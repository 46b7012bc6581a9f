"""Settings of all tests."""

import os
from functools import cache

# One thread a process: tests run in parallel, and sums keep their order.
os.environ.setdefault('OMP_NUM_THREADS', '1')
# Without it, matrix products on GPUs refuse to be deterministic.
os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')


import gc
import runpy
import signal
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.fileio import load
from mmengine.registry import DefaultScope
from mmengine.runner import checkpoint
from mmengine.visualization import Visualizer

TOOLS = Path(__file__).parents[1] / 'tools'
NUMBERS = count()


def pytest_collection_finish() -> None:
    """Take what was imported out of the garbage collector's sight, which tests look through."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def reproducible() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(False)  # configs switch it on for the process


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


@pytest.fixture
def quick_runs(monkeypatch) -> None:
    """Leave out what takes most of the time of small runs in this process.

    That is what they say of their environment, the layout of their config, and collecting the
    garbage of the whole process for each dataset.
    """
    monkeypatch.setattr('yapf.yapflib.yapf_api.FormatCode', lambda text, **_: (text, False))
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)
    garbage = SimpleNamespace(collect=lambda: None)
    monkeypatch.setattr('mmengine.dataset.base_dataset.gc', garbage)


@pytest.fixture
def run_tool(quick_runs, monkeypatch, capsys):
    """Runs a tool in this process, as from a command line; what it printed."""
    monkeypatch.setenv('LOCAL_RANK', '0')  # tools set it

    def run(tool, *args):
        tool, args = str(TOOLS / tool), list(map(str, args))
        if tool.endswith(('train.py', 'test.py')):
            # Runs of one second would share their log.
            args += ['--cfg-options'] * ('--cfg-options' not in args)
            args.append(f'experiment_name=run_{next(NUMBERS)}')
        monkeypatch.syspath_prepend(Path(tool).parent)
        monkeypatch.setattr('sys.argv', [tool, *args])
        runpy.run_path(tool, run_name='__main__')
        return ''.join(capsys.readouterr())

    return run


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
