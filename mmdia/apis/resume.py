"""Trainings that can be interrupted and resumed."""

import zipfile
from pathlib import Path
from typing import Iterator, Optional

from mmengine.config import Config
from mmengine.logging import print_log


def make_resumable(cfg: Config) -> None:
    """Let a run of epochs save at interruptions and resume in their middle.

    Args:
        cfg (Config): A complete config; other loops than MMEngine's own for
            epochs stay as they are.
    """
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or ()), dict(type='mmdia.InterruptionHook')]
    kind = cfg.train_cfg.get('type')
    if kind == 'EpochBasedTrainLoop' or (kind is None and cfg.train_cfg.get('by_epoch')):
        cfg.train_cfg.pop('by_epoch', None)
        cfg.train_cfg.type = 'mmdia.ResumableTrainLoop'
        # Workers that persist carry random numbers from epoch to epoch.
        cfg.train_dataloader.persistent_workers = False


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
