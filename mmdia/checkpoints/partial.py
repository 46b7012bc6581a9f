"""A file on disk that grows while it is downloaded."""

import os
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Iterator

CHUNK = 1 << 20


class DownloadError(OSError):
    """A file could not be downloaded."""


class DiskError(DownloadError):
    """A file could not be written; no other mirror helps."""


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Say which file could not be written, and why.

    Args:
        path (Path): The file.

    Raises:
        DiskError: In place of any ``OSError``.
    """
    try:
        yield
    except OSError as error:
        raise DiskError(f'cannot write {path}: {error.strerror or error}') from error


def is_intact(path: Path, digits: str) -> bool:
    """Whether there is a file whose SHA-256 starts with some digits.

    Args:
        path (Path): The file.
        digits (str): The first digits of its SHA-256.
    """
    if not path.is_file():
        return False
    digest = sha256()
    with open(path, 'rb') as file:
        while data := file.read(CHUNK):
            digest.update(data)
    return digest.hexdigest().startswith(digits)


class PartialFile:
    """What there is of a file so far, kept as ``NAME.part`` until it is whole.

    It continues what an earlier run left. To be used in a ``with`` statement.

    Args:
        target (Path): The file that it becomes in the end.

    Raises:
        DiskError: If it cannot be written, here and in every method.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(f'{target.name}.part')

    def __enter__(self) -> 'PartialFile':
        with disk_errors(self.path):
            self.file = open(self.path, 'a+b')
            self.file.seek(0)
            self.size, self.digest = 0, sha256()
            while data := self.file.read(CHUNK):
                self._count(data)
        self.continued = self.size > 0
        return self

    def __exit__(self, *error) -> None:
        with disk_errors(self.path):
            self.file.close()

    def _count(self, data: bytes) -> None:
        self.size += len(data)
        self.digest.update(data)

    def write(self, data: bytes) -> None:
        """Append to the file."""
        with disk_errors(self.path):
            self.file.write(data)
        self._count(data)

    def restart(self) -> None:
        """Forget everything."""
        with disk_errors(self.path):
            self.file.truncate(0)
        self.size, self.digest, self.continued = 0, sha256(), False

    def matches(self, digits: str) -> bool:
        """Whether the SHA-256 starts with these digits."""
        return self.digest.hexdigest().startswith(digits)

    def finish(self) -> None:
        """Give the file its final name."""
        with disk_errors(self.target):
            self.file.close()
            os.replace(self.path, self.target)

    def discard(self) -> None:
        """Remove the file."""
        with disk_errors(self.path):
            self.file.close()
            os.remove(self.path)
