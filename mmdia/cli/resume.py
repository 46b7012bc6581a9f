"""Trainings that can be interrupted and resumed."""

import fcntl
import os
import socket
import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import Dict, Iterator, List, Optional

from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
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
    position = meta.keys() if isinstance(meta, dict) else ()
    wanted = {'optimizer', 'message_hub', 'epoch', 'iter'}
    if not isinstance(weights, dict) or not wanted <= {*content, *position}:
        raise SystemExit(
            f'{checkpoint} holds weights alone and cannot be resumed; '
            f'to start from them: --cfg-options load_from={checkpoint}'
        )
    averages = content.get('ema_state_dict', {})
    averages = {key: value for key, value in averages.items() if key.startswith('module.')}
    return [
        {key.removeprefix('module.'): value.to('meta') for key, value in state.items()}
        for state in (weights, averages)
        if state
    ]


def is_intact(path: Path) -> bool:
    """Whether a checkpoint file is complete, judged by the sums of its parts."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except Exception:  # damaged files fail in every way
        return False


def checkpoints(work_dir: Path) -> Iterator[Path]:
    """The checkpoints of a work dir, the one named the last first, then by age."""
    note = work_dir / 'last_checkpoint'
    name = note.read_text(encoding='utf-8', errors='replace').strip() if note.is_file() else ''
    if name:
        # Work dirs may have moved since.
        yield Path(name) if os.path.isfile(name) else work_dir / Path(name).name
    saved = [p for p in work_dir.glob('*.pth') if not p.name.startswith('best_')]
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
        SystemExit: If another process keeps it.
    """
    with open(Path(work_dir, '.lock'), 'a+', encoding='utf-8') as file:
        file.seek(0)
        try:
            # Children inherit other kinds of locks, and keep them when their parent is killed.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            raise SystemExit(
                f'work dir {work_dir} is in use by another training ({file.read()}); '
                'wait until it ends, or give another --work-dir'
            ) from error
        except OSError as error:
            print_log(f'work dir {work_dir} cannot be locked: {error}', logger='current')
        file.truncate(0)
        file.write(f'process {os.getpid()} on {socket.gethostname()}')
        file.flush()
        yield
