"""Signals that a process catches, and none of its children."""

import os
import signal
import threading
from typing import Any, Callable, Dict, Optional

SIGNALS = (signal.SIGINT, signal.SIGTERM)

# A process has one handler for a signal.
_replaced: Dict[int, Any] = {}
_forking = threading.local()


def catch_signals(handler: Callable) -> None:
    """Call a function at SIGINT and SIGTERM, in this process alone.

    Signals that the process ignores, as jobs in the background do with SIGINT, stay ignored.
    What children inherit is as it would be without this call.

    Args:
        handler (Callable): See :func:`signal.signal`.
    """
    release_signals()  # of a training that ended with an error
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            _replaced[number] = signal.signal(number, handler)


def release_signals() -> None:
    """Undo :func:`catch_signals`."""
    while _replaced:
        signal.signal(*_replaced.popitem())


def start_worker_apart(worker_id: int, start: Optional[Callable] = None, **options) -> None:
    """Start a worker of a data loader in a process group of its own.

    Ctrl-C and torchrun signal a whole group. The process that trains then still needs its
    workers, to bring the iteration to its end. They cannot ignore SIGTERM, by which Python
    ends them when it exits.

    Args:
        worker_id (int): Number of the worker.
        start (Callable, optional): What else is to be done at its start.
        **options: Keyword arguments of ``start``.
    """
    if hasattr(os, 'setpgid'):
        os.setpgid(0, 0)
    if start is not None:
        start(worker_id, **options)


def _before_fork() -> None:
    # A signal to the child has to wait until the handlers are what they were.
    _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS if _replaced else ())


def _after_fork() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


def _after_fork_in_child() -> None:
    release_signals()
    _after_fork()


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child
    )
