"""Trainings that can be interrupted and resumed."""

import os
import socket
import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.logging import print_log
from mmengine.optim import OptimWrapperDict
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch import Tensor

from mmdia.engine import InterruptionHook
from mmdia.models.utils import read_checkpoint

# MMEngine's loops, and what takes their places.
LOOPS = {
    EpochBasedTrainLoop: 'mmdia.ResumableTrainLoop',
    IterBasedTrainLoop: 'mmdia.ResumableIterTrainLoop',
}


def is_type(cfg: dict, kind: type) -> bool:
    """Whether a config is that of a class, which it gives or names, with or without a scope."""
    name = kind.__name__
    return cfg.get('type') in (kind, name, f'mmengine.{name}', f'mmdia.{name}')


def make_resumable(cfg: Config) -> None:
    """Let a run save at interruptions, and resume as if there had been none.

    Args:
        cfg (Config): A complete config; other loops and hooks than MMEngine's own stay as
            they are.
    """
    hooks = [hook for hook in cfg.get('custom_hooks') or () if not is_type(hook, InterruptionHook)]
    cfg.custom_hooks = [*hooks, dict(type='mmdia.InterruptionHook')]
    if not cfg.get('default_hooks'):
        cfg.default_hooks = {}
    cfg.default_hooks.setdefault('checkpoint', dict(type='CheckpointHook', interval=1))
    for hook in (*cfg.default_hooks.values(), *cfg.custom_hooks):
        if hook is not None and is_type(hook, CheckpointHook):
            hook['type'] = 'mmdia.DurableCheckpointHook'
    loop = cfg.train_cfg
    by_epoch = EpochBasedTrainLoop if loop.get('by_epoch') else IterBasedTrainLoop
    loop.setdefault('type', by_epoch.__name__)
    for kind, ours in LOOPS.items():
        if is_type(loop, kind):
            loop.type = ours
            loop.pop('by_epoch', None)
    if loop.type == LOOPS[EpochBasedTrainLoop]:
        # Workers that persist carry random numbers from epoch to epoch.
        cfg.train_dataloader.persistent_workers = False


def check_state(checkpoint: str, name: str, state: Any) -> None:
    """Exit with an error unless an entry of a checkpoint is a dict of tensors."""
    if not isinstance(state, dict):
        raise SystemExit(f'{checkpoint}: {name} must be a dict, got {type(state).__name__}')
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise SystemExit(
                f'{checkpoint}: {name} must hold tensors by their names, '
                f'got {key!r}: {type(value).__name__}'
            )


def read_resumable(checkpoint: str) -> List[Dict[str, Tensor]]:
    """Read what a checkpoint that is to be resumed has to fit.

    Args:
        checkpoint (str): Its path, or another address that MMEngine knows.

    Returns:
        List[Dict[str, Tensor]]: Its weights by their names, and their averages if it has any,
            on the meta device.

    Raises:
        SystemExit: If it cannot be read, or does not say where its run was.
    """
    try:
        content = read_checkpoint(checkpoint)
    except (OSError, ValueError) as error:
        raise SystemExit(f'--resume: {error}') from error
    content = content if isinstance(content, dict) else {}
    meta, weights = content.get('meta'), content.get('state_dict')
    wanted = {'optimizer', 'message_hub', 'epoch', 'iter'}
    is_run = isinstance(meta, dict) and isinstance(weights, dict)
    if not is_run or not wanted <= {*content, *meta}:
        raise SystemExit(
            f'{checkpoint} holds weights alone and cannot be resumed; '
            f'to start from them: --cfg-options load_from={checkpoint}'
        )
    for name in ('epoch', 'iter'):
        value = meta.get(name)
        if not isinstance(value, int):
            raise SystemExit(f'{checkpoint}: meta.{name} must be an int, got {value!r}')
    averages = content.get('ema_state_dict', {})
    check_state(checkpoint, 'state_dict', weights)
    check_state(checkpoint, 'ema_state_dict', averages)
    averages = {key: value for key, value in averages.items() if key.startswith('module.')}
    return [
        {key.removeprefix('module.'): value.to('meta') for key, value in state.items()}
        for state in (weights, averages)
        if state
    ]


def resume_or_stop(runner: Runner, checkpoint: str) -> None:
    """Make a runner resume, and stop where what it trains with is not what was trained with.

    Args:
        runner (Runner): The runner. When the optimizers, or anything else that a checkpoint
            brings back, do not fit it, it raises :class:`SystemExit`.
        checkpoint (str): What it is to resume.
    """
    resume = runner.resume

    def resume_checkpoint(filename: str, *args, **kwargs) -> None:
        try:
            resume(filename, *args, **kwargs)
            check_optimizers(runner)
        except Exception as error:  # what does not fit fails in every way
            raise SystemExit(
                f'checkpoint {filename} cannot be resumed with this config, was it saved with '
                f'another optimizer or paramwise_cfg? {type(error).__name__}: {error}\n'
                f'to start from its weights: --cfg-options load_from={filename}'
            ) from error

    runner.resume = resume_checkpoint
    # Not in the config: its dump would resume, too.
    runner._load_from, runner._resume = checkpoint, True


# States of PyTorch's optimizers that have the shape of their parameter.
LIKE_PARAMETERS = {'momentum_buffer', 'exp_avg', 'exp_avg_sq', 'square_avg'}


def check_optimizers(runner: Runner) -> None:
    """Raise an error unless optimizers have all of their options, and states of their parameters.

    States may bring other options. They know parameters by their order alone.
    """
    wrapper = runner.optim_wrapper
    wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
    for optimizer in (wrapper.optimizer for wrapper in wrappers):
        missing = set()
        for group in optimizer.param_groups:
            missing |= optimizer.defaults.keys() - group.keys()
        if missing:
            kind = type(optimizer).__name__
            raise ValueError(f'no {", ".join(sorted(missing))}, which {kind} needs')
        for parameter, state in optimizer.state.items():
            for name in LIKE_PARAMETERS & state.keys():
                if state[name] is not None and state[name].shape != parameter.shape:
                    raise ValueError(
                        f'{name} of shape {tuple(state[name].shape)} for a parameter of shape '
                        f'{tuple(parameter.shape)}: the parameters had another order'
                    )


def is_intact(path: Path) -> bool:
    """Whether a checkpoint file is complete, judged by the sums of its parts."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except Exception:  # damaged files fail in every way
        return False


def checkpoints(work_dir: Path) -> Iterator[Path]:
    """The checkpoints of a run, the one named the last first, then by age."""
    note = work_dir / 'last_checkpoint'
    name = note.read_text(encoding='utf-8', errors='replace').strip() if note.is_file() else ''
    folders = [work_dir]
    if name:
        named = Path(name)
        # What is here comes first: the work dir may have moved, or be a copy.
        here = work_dir / named.name
        yield named if os.path.isfile(named) and not os.path.isfile(here) else here
        # Checkpoints may be saved in a folder of their own.
        other = named.parent
        if not os.path.isfile(here) and other != Path() and os.path.isdir(other):
            folders += [other] * (not os.path.samefile(other, work_dir))
    found = (path for folder in folders for path in folder.glob('*.pth') if path.is_file())
    saved = [path for path in found if not path.name.startswith('best_')]
    yield from sorted(saved, key=lambda path: path.stat().st_mtime, reverse=True)


def latest_checkpoint(work_dir: str) -> Optional[str]:
    """The latest intact checkpoint of a run.

    Args:
        work_dir (str): Folder of the run.

    Returns:
        str, optional: Its path, or None where nothing was saved yet.

    Raises:
        SystemExit: If there are checkpoints, and all are damaged.
    """
    damaged = []
    for path in dict.fromkeys(checkpoints(Path(work_dir))):
        if is_intact(path):
            return str(path)
        print_log(f'{path} is missing or damaged, trying the one before', logger='current')
        damaged.append(f'\n  {path}')
    if damaged:
        raise SystemExit(
            f'--resume: no checkpoint in {work_dir} is intact, these are missing or damaged:'
            f'{"".join(damaged)}\nto start from the beginning, leave out --resume'
        )
    print_log(f'no checkpoint in {work_dir}: starting from the beginning', logger='current')
    return None


def check_work_dir(work_dir: str) -> None:
    """Exit with an error unless files can be written into a folder."""
    try:
        Path(work_dir).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=work_dir):
            pass
    except OSError as error:
        raise SystemExit(f'work dir {work_dir} cannot be written: {error}') from error


@contextmanager
def lock_work_dir(work_dir: str) -> Iterator[None]:
    """Keep a work dir for this process until the block, or the process, ends.

    Args:
        work_dir (str): Folder of the run, which can be written.

    Raises:
        SystemExit: If another process keeps it, or its lock cannot be opened.
    """
    try:
        lock = open(Path(work_dir, '.lock'), 'a+', encoding='utf-8')
    except OSError as error:
        raise SystemExit(f'work dir {work_dir} cannot be locked: {error}') from error
    with lock as file:
        file.seek(0)
        try:
            import fcntl  # not on every system

            # Children inherit other kinds of locks, and keep them when their parent is killed.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            raise SystemExit(
                f'work dir {work_dir} is in use by another training ({file.read()}); '
                'wait until it ends, or give another --work-dir'
            ) from error
        except (ImportError, OSError) as error:
            print_log(f'work dir {work_dir} cannot be locked: {error}', logger='current')
        file.truncate(0)
        file.write(f'process {os.getpid()} on {socket.gethostname()}')
        file.flush()
        yield
