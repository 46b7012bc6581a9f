"""Files that are replaced as a whole."""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Union

from mmengine.fileio import LocalBackend, register_backend

BACKEND = 'mmdia.durable'
# Ends the name of a file that is not complete, and of no other.
PART = '.mmdia-part'


def replace_file(path: Union[str, Path], content: bytes) -> None:
    """Write a file such that there is the old one or the new one, complete, at any moment.

    Args:
        path (str | Path): The file.
        content (bytes): What it is to hold.
    """
    path = Path(path)
    part = path.with_name(path.name + PART)
    try:
        with open(part, 'wb') as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except (OSError, KeyboardInterrupt):
        part.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def remove_parts(folder: Union[str, Path]) -> None:
    """Remove what killed processes left of files that they were writing.

    Args:
        folder (str | Path): The folder, which no other process writes to.
    """
    for part in Path(folder).glob(f'*{PART}'):
        if part.is_file():
            part.unlink()


def sync_folder(folder: Path) -> None:
    """Wait until the names of a folder's files are on the disk, where that is possible."""
    with suppress(OSError):  # not every system can
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@register_backend(BACKEND, force=True)
class DurableBackend(LocalBackend):
    """Files on disk, each written with :func:`replace_file`."""

    def put(self, obj: bytes, filepath: Union[str, Path]) -> None:
        """Write a file, and the folders that it needs, unless the disk has no room for it.

        Raises:
            OSError: If it has none.
        """
        folder = Path(filepath).parent
        folder.mkdir(parents=True, exist_ok=True)
        needed, free = len(obj), shutil.disk_usage(folder).free
        if needed > free:
            raise OSError(
                f'no space left for {filepath}: it needs {needed / 2**20:.0f} MiB, '
                f'{free / 2**20:.0f} MiB are free; nothing was written'
            )
        replace_file(filepath, obj)
