"""Trainings that can be interrupted and resumed."""

import zipfile
from pathlib import Path
from typing import Iterator, Optional

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader

# MMEngine's loops, and what takes their places.
LOOPS = dict(
    EpochBasedTrainLoop='mmdia.ResumableTrainLoop',
    IterBasedTrainLoop='mmdia.ResumableIterTrainLoop',
)


def make_resumable(cfg: Config) -> None:
    """Let a run save at interruptions, and resume as if there had been none.

    Args:
        cfg (Config): A complete config; other loops than MMEngine's own stay
            as they are.
    """
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or ()), dict(type='mmdia.InterruptionHook')]
    by_epoch = 'EpochBasedTrainLoop' if cfg.train_cfg.get('by_epoch') else 'IterBasedTrainLoop'
    kind = cfg.train_cfg.get('type', by_epoch)
    if kind in LOOPS:
        cfg.train_cfg.pop('by_epoch', None)
        cfg.train_cfg.type = LOOPS[kind]
    if kind == 'EpochBasedTrainLoop':
        # Workers that persist carry random numbers from epoch to epoch.
        cfg.train_dataloader.persistent_workers = False


def check_resumable(checkpoint: str) -> None:
    """Exit with an error unless a checkpoint says where its run was.

    Args:
        checkpoint (str): Its path, or another address that MMEngine knows.
    """
    content = CheckpointLoader.load_checkpoint(checkpoint, 'cpu', logger='silent')
    if not {'meta', 'optimizer', 'message_hub'} <= content.keys():
        raise SystemExit(
            f'{checkpoint} holds weights alone and cannot be resumed; '
            f'to start from them: --cfg-options load_from={checkpoint}'
        )


def is_intact(path: Path) -> bool:
    """Whether a checkpoint file is complete, judged by the sums of its parts."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile, EOFError):
        return False


def checkpoints(work_dir: Path) -> Iterator[Path]:
    """The checkpoints of a work dir, the one named the last first, then by age."""
    note = work_dir / 'last_checkpoint'
    named = Path(note.read_text(encoding='utf-8').strip()) if note.is_file() else None
    if named is not None:
        # Work dirs may have moved since.
        yield named if named.is_file() else work_dir / named.name
    saved = [p for p in work_dir.glob('*.pth') if not p.name.startswith('best_')]
    yield from sorted(saved, key=lambda path: path.stat().st_mtime, reverse=True)


def latest_checkpoint(work_dir: str) -> Optional[str]:
    """The latest intact checkpoint of a run.

    Args:
        work_dir (str): Folder of the run.

    Returns:
        str, optional: Its path, or None where there is none.
    """
    for path in dict.fromkeys(checkpoints(Path(work_dir))):
        if is_intact(path):
            return str(path)
        print_log(f'{path} is missing or damaged, trying the one before', logger='current')
    return None


def check_work_dir(work_dir: str) -> None:
    """Exit with an error unless files can be written into a folder."""
    probe = Path(work_dir, '.write_test')
    try:
        probe.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise SystemExit(f'work dir {work_dir} cannot be written: {error}') from error
