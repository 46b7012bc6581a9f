"""Signals are for the process that trains; its children have what they would have without it."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest
from torch.utils.data import DataLoader, Dataset

from mmdia.engine.hooks.interruption import start_workers_apart
from mmdia.engine.signals import SIGNALS, catch_signals, release_signals

FORK = multiprocessing.get_context('fork')
REPORT = 'import signal as s; print([s.getsignal(n) for n in (2, 15)], s.pthread_sigmask(0, ()))'


def handlers():
    return [signal.getsignal(number) for number in SIGNALS]


@pytest.fixture
def caught():
    """Signals that this process catches during a test."""
    before, numbers = handlers(), []
    catch_signals(lambda number, frame: numbers.append(number))
    yield numbers
    release_signals()
    assert handlers() == before


def test_process_catches(caught):
    for number in SIGNALS:
        os.kill(os.getpid(), number)
    assert caught == list(SIGNALS)


def test_forks_are_terminated_at_any_moment(caught):
    for _ in range(20):
        child = FORK.Process(target=time.sleep, args=(60,))
        child.start()
        child.terminate()
        child.join(10)
        code = child.exitcode
        child.kill()
        assert code == -signal.SIGTERM
    assert not caught


def test_pool_is_terminated(caught):
    with FORK.Pool(2) as pool:
        results = pool.imap_unordered(time.sleep, [0, 60])
        next(results)
        start = time.monotonic()
    assert time.monotonic() - start < 10


def repr_handlers():
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
    return repr(handlers())


@pytest.mark.parametrize('prepare', (None, int), ids=('exec', 'fork and exec'))
def test_commands_have_their_own_handlers(prepare, caught):
    expected = subprocess.check_output([sys.executable, '-c', REPORT])
    found = subprocess.check_output([sys.executable, '-c', REPORT], preexec_fn=prepare)
    assert found == expected and b'set()' in found
    child = subprocess.Popen(['sleep', '60'], preexec_fn=prepare)
    child.terminate()
    assert child.wait(10) == -signal.SIGTERM


def test_catching_again_forgets_the_first_handler(caught):
    """As when a training that ended with an error is started again."""
    release_signals()
    before = repr(handlers())
    for _ in range(2):
        catch_signals(lambda number, frame: caught.append(number))
    with FORK.Pool(1) as pool:
        assert pool.apply(repr_handlers) == before


class Workers(Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return repr_handlers(), os.getpgrp(), os.getpid()


def test_loader_workers_survive_a_signal_to_the_group_alone(caught):
    release_signals()
    before = repr(handlers())
    catch_signals(lambda number, frame: caught.append(number))
    loader = DataLoader(
        Workers(), None, num_workers=1, prefetch_factor=1, multiprocessing_context='fork'
    )
    start_workers_apart(loader)
    found, group, worker = next(iter(loader))
    assert found == before and group == worker != os.getpgrp()


def test_ignored_signals_stay_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        catch_signals(lambda number, frame: None)
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) != signal.SIG_IGN
        release_signals()
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        release_signals()
        signal.signal(signal.SIGINT, before)


def test_systems_without_forks():
    script = 'import mmdia.engine.signals as s, importlib, os; del os.register_at_fork, os.setpgid'
    script += '; importlib.reload(s); s.start_worker_apart(0)'
    subprocess.run([sys.executable, '-c', script], check=True)
