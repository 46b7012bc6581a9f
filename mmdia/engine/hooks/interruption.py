"""Interrupted trainings leave a checkpoint, and say how to go on."""

import os
import re
import shlex
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any, List, Optional

import torch
from mmengine.dist import all_gather_object, all_reduce, get_rank, get_world_size, is_main_process
from mmengine.hooks import EarlyStoppingHook, Hook
from mmengine.optim import BaseOptimWrapper
from mmengine.runner import Runner
from torch.distributed import new_group
from torch.utils.data import DataLoader

from mmdia.registry import HOOKS

from ..files import BACKEND, replace_file
from ..loops import ResumableIterTrainLoop, ResumableTrainLoop, random_states
from ..signals import catch_signals, release_signals, start_worker_apart

FILE_NAME = 'interrupted.pth'
# argparse takes abbreviations.
RESUME = re.compile('--r(e(s(u(m(e)?)?)?)?)?(=.*)?')


def resume_words(words: List[str]) -> List[str]:
    """A command line that resumes from the latest checkpoint, whatever it said of that."""
    # Behind it, words that look like options are none.
    end = words.index('--') if '--' in words else len(words)
    kept, value_follows = [], False
    for word in words[:end]:
        is_option = RESUME.fullmatch(word) is not None
        if not is_option and (word.startswith('-') or not value_follows):
            kept.append(word)
        value_follows = is_option and '=' not in word
    return [*kept, '--resume', *words[end:]]


def early_stopping_hooks(runner: Runner) -> List[EarlyStoppingHook]:
    """The hooks that end a run when it gets no better; MMEngine does not save their state."""
    return [hook for hook in runner.hooks if isinstance(hook, EarlyStoppingHook)]


def how_to_resume(launcher: str) -> str:
    """What a user has to do to go on, as far as a process can know how it was started.

    Args:
        launcher (str): That of the run.
    """
    command = [sys.executable, *resume_words(sys.argv)]
    if launcher != 'none':
        processes = os.environ.get('LOCAL_WORLD_SIZE')
        if launcher != 'pytorch' or processes != str(get_world_size()):
            return 'continue by starting the job as before, with --resume'
        port = os.environ.get('MASTER_PORT', '29500')
        options = [f'--nproc_per_node={processes}', f'--master_port={port}']
        command[1:1] = ['-m', 'torch.distributed.run', *options]
    return f'continue with: {shlex.join(command)}'


def has_gradients(wrapper: BaseOptimWrapper) -> bool:
    """Whether gradients are accumulated, which no checkpoint holds."""
    # Wrappers of several optimizers do not count.
    return hasattr(wrapper, 'inner_count') and not wrapper.should_update()


def start_workers_apart(loader: DataLoader) -> None:
    """Make a data loader start its workers with :func:`start_worker_apart`."""
    start = loader.worker_init_fn
    options = start.keywords if isinstance(start, partial) else {}
    start = start.func if isinstance(start, partial) else start
    loader.worker_init_fn = partial(start_worker_apart, start=start, **options)


@HOOKS.register_module()
class InterruptionHook(Hook):
    """Saves a checkpoint when the process is asked to stop, and exits.

    At SIGINT (Ctrl-C) or SIGTERM (Slurm, Kubernetes) the iteration, and any
    accumulation of gradients, is brought to its end, ``interrupted.pth`` is
    saved in the work dir as the latest checkpoint, and the process exits with
    128 plus the signal's number. A second signal stops at once. In a
    distributed run one process that is asked stops all. Child processes do
    with signals what they would do without this hook.

    With :class:`ResumableTrainLoop` and :class:`ResumableIterTrainLoop` a resumed
    run goes on as if it had not been interrupted; with other loops it repeats the
    epoch.
    """

    # After whatever else happens in an iteration: schedulers, averages, logs.
    priority = 'LOWEST'

    def __init__(self) -> None:
        self._signal = 0  # none yet
        self._position: Optional[dict] = None
        self._group: Any = None

    def before_train(self, runner: Runner) -> None:
        """Listen to the signals."""
        if get_world_size() > 1:
            # Processes agree on their CPUs: no device has to wait for it.
            self._group = new_group(backend='gloo')
        for loop in (runner.train_loop, runner.val_loop):
            if loop is not None:
                start_workers_apart(loop.dataloader)
        catch_signals(self._note)

    def after_train(self, runner: Runner) -> None:
        """Stop listening."""
        release_signals()

    def _note(self, number: int, frame: Any) -> None:
        if self._signal:
            raise KeyboardInterrupt
        self._signal = number

    def _asked_to_stop(self) -> bool:
        if self._group is not None:
            number = torch.tensor(self._signal)
            all_reduce(number, 'max', self._group)
            self._signal = int(number)
        return bool(self._signal)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Optional[Any] = None,
        outputs: Optional[dict] = None,
    ) -> None:
        """Save and exit if the process is to stop."""
        if has_gradients(runner.optim_wrapper) or not self._asked_to_stop():
            return
        self._position = dict(batch=batch_idx + 1, states=all_gather_object(random_states()))
        runner.logger.info(f'{signal.Signals(self._signal).name}: saving {FILE_NAME} and stopping')
        runner.save_checkpoint(
            runner.work_dir, FILE_NAME, by_epoch=False, backend_args=dict(backend=BACKEND)
        )
        if is_main_process():
            path = Path(runner.work_dir, FILE_NAME).resolve()
            replace_file(Path(runner.work_dir, 'last_checkpoint'), str(path).encode())
            runner.logger.info(how_to_resume(runner.launcher))
        self.after_train(runner)
        raise SystemExit(128 + self._signal)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the position within the run, and what decides when it ends."""
        stopping = early_stopping_hooks(runner)
        checkpoint['early_stopping'] = [(hook.best_score, hook.wait_count) for hook in stopping]
        if self._position is not None:
            checkpoint['position'] = self._position
        # Whether it comes after the validation of its epoch, or iteration.
        meta, loop = checkpoint['meta'], runner.train_loop
        if isinstance(loop, ResumableTrainLoop):
            checkpoint['validated'] = meta['epoch'] <= loop.epoch
        elif isinstance(loop, ResumableIterTrainLoop):
            checkpoint['validated'] = meta['iter'] <= loop.iter

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Continue in the middle of an epoch, or behind it."""
        if not runner._resume:
            return
        stopping = checkpoint.get('early_stopping', ())
        for hook, state in zip(early_stopping_hooks(runner), stopping):
            hook.best_score, hook.wait_count = state
        # MMEngine would run it, to compare numbers of GPUs.
        checkpoint.get('meta', {}).pop('config', None)
        position, loop = checkpoint.get('position'), runner.train_loop
        if isinstance(loop, (ResumableTrainLoop, ResumableIterTrainLoop)):
            loop.validated = checkpoint.get('validated', False)
        if position is not None and isinstance(loop, ResumableTrainLoop):
            states = position['states']
            # With another number of processes, nothing can be the same.
            loop.position = position['batch'], states[get_rank() % len(states)]
