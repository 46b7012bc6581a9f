"""Folders of runs, and the checkpoints in them."""

import os
import socket
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Optional

from mmengine.logging import print_log


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
