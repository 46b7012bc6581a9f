"""Interrupted trainings leave a checkpoint, and say how to go on."""

import shlex
import shutil
import signal
import sys
from pathlib import Path
from typing import Any, Dict, Optional

import torch
from mmengine.dist import all_gather_object, all_reduce, get_rank, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.optim import BaseOptimWrapper
from mmengine.runner import Runner

from mmdia.registry import HOOKS

from ..loops import ResumableTrainLoop, random_states

FILE_NAME = 'interrupted.pth'
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def resume_command() -> str:
    """The command of this process, with the option that resumes."""
    words = [sys.executable, *sys.argv]
    return shlex.join(words if '--resume' in words else [*words, '--resume'])


def has_gradients(wrapper: BaseOptimWrapper) -> bool:
    """Whether gradients are accumulated, which no checkpoint holds."""
    # Wrappers of several optimizers do not count.
    return hasattr(wrapper, 'inner_count') and not wrapper.should_update()


def state_size(value: Any) -> int:
    """Bytes of all tensors within a checkpoint."""
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, dict):
        return sum(map(state_size, value.values()))
    if isinstance(value, (list, tuple)):
        return sum(map(state_size, value))
    return 0


@HOOKS.register_module()
class InterruptionHook(Hook):
    """Saves a checkpoint when the process is asked to stop, and exits.

    At SIGINT (Ctrl-C) or SIGTERM (Slurm, Kubernetes) the iteration, and any
    accumulation of gradients, is brought to its end, ``interrupted.pth`` is
    saved in the work dir as the latest checkpoint, and the process exits with
    128 plus the signal's number. A second signal stops at once. In a
    distributed run one process that is asked stops all.

    With :class:`ResumableTrainLoop` and :class:`ResumableIterTrainLoop` a resumed
    run goes on as if it had not been interrupted; with other loops it repeats the
    epoch.

    Every checkpoint is refused before it is written where the disk has no
    room for it, so that none is cut short.
    """

    # After whatever else happens in an iteration: schedulers, averages, logs.
    priority = 'LOWEST'

    def __init__(self) -> None:
        self._signal: Optional[int] = None
        self._position: Optional[dict] = None
        self._previous: Dict[int, Any] = {}

    def before_train(self, runner: Runner) -> None:
        """Listen to the signals."""
        for number in SIGNALS:
            self._previous[number] = signal.signal(number, self._note)

    def after_train(self, runner: Runner) -> None:
        """Stop listening."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: Any) -> None:
        if self._signal is not None:
            raise KeyboardInterrupt
        self._signal = number

    def _asked_to_stop(self) -> bool:
        if get_world_size() == 1:
            return self._signal is not None
        number = torch.tensor(self._signal or 0)
        all_reduce(number, 'max')
        self._signal = int(number) or None
        return self._signal is not None

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
        runner.save_checkpoint(runner.work_dir, FILE_NAME, by_epoch=False)
        if is_main_process():
            path = Path(runner.work_dir, FILE_NAME).resolve()
            Path(runner.work_dir, 'last_checkpoint').write_text(str(path), encoding='utf-8')
            runner.logger.info(f'continue with: {resume_command()}')
        self.after_train(runner)
        raise SystemExit(128 + self._signal)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the position within the epoch, and check that there is room."""
        if self._position is not None:
            checkpoint['position'] = self._position
        needed, free = state_size(checkpoint), shutil.disk_usage(runner.work_dir).free
        if is_main_process() and needed > free:
            raise OSError(
                f'no space left for a checkpoint of {needed / 2**20:.0f} MiB in {runner.work_dir}, '
                f'{free / 2**20:.0f} MiB are free; nothing was written'
            )

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Continue in the middle of an epoch."""
        if not runner._resume:
            return
        # MMEngine would run it, to compare numbers of GPUs.
        checkpoint.get('meta', {}).pop('config', None)
        position, loop = checkpoint.get('position'), runner.train_loop
        if position is None or not isinstance(loop, ResumableTrainLoop):
            return
        states = position['states']
        # With another number of processes, nothing can be the same.
        loop.continue_at(position['batch'], states[get_rank() % len(states)])
