"""Downloads that end complete or not at all."""

import logging
import os
import shutil
import sys
import time
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path
from typing import Callable, Dict, Iterator, Optional, Sequence
from urllib.request import Request, urlopen

from filelock import FileLock
from mmengine.logging import print_log
from rich.console import Console
from rich.progress import wrap_file

# Seconds without a byte, and seconds before mirrors are asked a second time.
TIMEOUT = 30.0
PAUSE = 1.0
# Bytes of a file, and of what is read at once.
LARGEST = 32 << 30
CHUNK = 1 << 20
HEADERS = {'User-Agent': 'mmdia', 'Accept-Encoding': 'identity'}
# Raises a ValueError if a file is not what it should be.
Check = Callable[[Path], None]


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


def report(message: str) -> None:
    """Tell the user, in the log where there is one."""
    print_log(message, logger='current', level=logging.WARNING)


def check_hash(path: Path, digits: str) -> None:
    """Check the content of a file.

    Args:
        path (Path): The file.
        digits (str): The first digits of its SHA-256.

    Raises:
        ValueError: If it has another.
    """
    digest = sha256()
    with open(path, 'rb') as file:
        while data := file.read(CHUNK):
            digest.update(data)
    if not digest.hexdigest().startswith(digits):
        raise ValueError(f'wrong content: SHA-256 {digest.hexdigest()}, expected {digits}')


def is_good(path: Path, check: Check) -> bool:
    """Whether there is a file that can be read and is what it should be."""
    try:
        check(path)
    except (OSError, ValueError):
        return False
    return True


def is_current(path: Path, url: str) -> bool:
    """Whether a file is what a server has, as far as its headers say.

    Args:
        path (Path): The file, which was downloaded from there.
        url (str): The address. Without an answer the file counts as current.
    """
    try:
        with urlopen(Request(url, headers=HEADERS, method='HEAD'), timeout=5) as response:
            size, date = map(response.headers.get, ('Content-Length', 'Last-Modified'))
        changed = parsedate_to_datetime(date).timestamp() if date else 0
    except (OSError, HTTPException, ValueError):
        return True
    status = path.stat()
    return size in (None, '0', str(status.st_size)) and changed <= status.st_mtime


def write(response, part: Path) -> None:
    """Write what a server sends into a file.

    :func:`torch.hub.download_url_to_file` waits forever for a silent server,
    and takes a file that misses its end.

    Raises:
        ValueError: If it is too large, or misses its end.
        DiskError: If it cannot be written.
    """
    length = response.headers.get('Content-Length', '')
    expected = int(length) if length.isdigit() else None
    with disk_errors(part):
        room = min(LARGEST, shutil.disk_usage(part.parent).free)
        file = open(part, 'wb')
    received = 0
    bar = dict(console=Console(stderr=True), disable=not sys.stderr.isatty())
    with file, wrap_file(response, expected or 0, description='', **bar) as body:
        if (expected or 0) > room:
            raise ValueError(f'it has {expected} bytes, and there is room for {room}')
        while data := body.read(CHUNK):
            received += len(data)
            if received > room:
                raise ValueError(f'it has more than {room} bytes, for which there is room')
            with disk_errors(part):
                file.write(data)
    if expected not in (None, received):
        raise ValueError(f'the connection ended after {received} of {expected} bytes')


def download_from(url: str, target: Path, check: Check) -> None:
    """Download a file from one address; see :func:`download`.

    Raises:
        OSError, HTTPException: If there is no answer, or only a part of it.
        ValueError: If this is another file, or a part of it.
        DiskError: If it cannot be written.
    """
    print_log(f'downloading {url} to {target}', logger='current')
    part = target.with_name(f'part-{target.name}')
    try:
        with urlopen(Request(url, headers=HEADERS), timeout=TIMEOUT) as response:
            write(response, part)
        check(part)
        with disk_errors(target):
            os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def download(
    urls: Sequence[str],
    target: Path,
    check: Check,
    failures: Optional[Dict[str, str]] = None,
    is_current: Callable[[Path], bool] = lambda path: True,
    elsewhere: str = '',
) -> None:
    """Download a file, unless it is there and good.

    Of several processes one does it and the others wait. The file appears
    under its name only when it is complete and checked.

    Args:
        urls (Sequence[str]): Addresses of the file, in the order in which they
            are tried, twice.
        target (Path): Where it is to be. What is there is replaced.
        check (Callable): Takes a path; raises a ``ValueError`` if the file
            is not what it should be.
        failures (Dict[str, str], optional): Where it was looked for before,
            and why that failed; part of the error message.
        is_current (Callable): Takes the path; whether a good file can stay.
            Defaults to True for all.
        elsewhere (str): Where else the file could be put by hand, as the end of
            a sentence. Defaults to nowhere.

    Raises:
        DownloadError: If no mirror gives the file, or it cannot be written.
    """
    failures = dict(failures or {})
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f'{target}.lock').acquire()
    with lock:
        if is_good(target, check) and is_current(target):
            return
        if target.exists():
            report(f'{target} is damaged or out of date')
        for pause in (0, PAUSE):
            time.sleep(pause)
            for url in urls:
                try:
                    return download_from(url, target, check)
                except DiskError:
                    raise
                except (OSError, HTTPException, ValueError) as error:
                    failures[url] = str(error) or type(error).__name__
                    report(f'{url}: {failures[url]}')
    raise DownloadError(
        '\n  '.join(
            (f'could not download {target.name}:', *(f'{w}: {why}' for w, why in failures.items()))
        )
        + f'\nWhere there is no internet, save the file as {target}{elsewhere}.'
    )
