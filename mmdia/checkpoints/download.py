"""Downloads that end complete or not at all."""

import errno
import logging
import os
import sys
import time
from email.utils import parsedate_to_datetime
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path
from typing import Callable, Sequence
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
# What is wrong with the disk, where other mirrors do not help.
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)
HEADERS = {'User-Agent': 'mmdia', 'Accept-Encoding': 'identity'}
# Raises a ValueError if a file is not what it should be.
Check = Callable[[Path], None]


class DownloadError(OSError):
    """A file could not be downloaded."""


def report(message: str) -> None:
    """Tell the user, in the log where there is one."""
    print_log(message, logger='current', level=logging.WARNING)


def check_hash(path: Path, digits: str) -> None:
    """Raise a ``ValueError`` unless the SHA-256 of a file begins with these digits."""
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
    """Whether a file is what a server has, as far as that answers and its headers say."""
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
    """
    expected = int(response.headers.get('Content-Length') or 0)
    received = 0
    bar = dict(console=Console(stderr=True), disable=not sys.stderr.isatty())
    with open(part, 'wb') as file, wrap_file(response, expected, description='', **bar) as body:
        while data := body.read(CHUNK):
            received += len(data)
            if max(expected, received) > LARGEST:
                raise ValueError(f'it has more than {LARGEST} bytes')
            file.write(data)
    if expected and received != expected:
        raise ValueError(f'the connection ended after {received} of {expected} bytes')


def download_from(url: str, target: Path, check: Check) -> None:
    """Download a file from one address; see :func:`download`.

    Raises:
        OSError, HTTPException: If there is no answer, or it cannot be written.
        ValueError: If this is another file, or a part of it.
    """
    print_log(f'downloading {url} to {target}', logger='current')
    part = target.with_name(f'part-{target.name}')
    try:
        with urlopen(Request(url, headers=HEADERS), timeout=TIMEOUT) as response:
            write(response, part)
        check(part)
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def download(
    urls: Sequence[str],
    target: Path,
    check: Check,
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
        is_current (Callable): Takes the path; whether a good file can stay.
            Defaults to True for all.
        elsewhere (str): Where else the file could be put by hand, as the end of
            a sentence. Defaults to nowhere.

    Raises:
        OSError: If no mirror gives the file, or it cannot be written.
    """
    if is_good(target, check) and is_current(target):
        return
    failures = {}
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f'{target}.lock'):
        if is_good(target, check) and is_current(target):
            return  # another process was first
        if target.exists():
            report(f'{target} is damaged or out of date')
        for pause in (0, PAUSE):
            time.sleep(pause)
            for url in urls:
                try:
                    return download_from(url, target, check)
                except (OSError, HTTPException, ValueError) as error:
                    if getattr(error, 'errno', None) in DISK_ERRORS:
                        raise DownloadError(f'cannot write {target}: {error.strerror}') from error
                    failures[url] = str(error) or type(error).__name__
                    report(f'{url}: {failures[url]}')
    reasons = '\n'.join(f'  {url}: {why}' for url, why in failures.items())
    raise DownloadError(
        f'could not download {target.name}:\n{reasons}\n'
        f'Where there is no internet, save the file as {target}{elsewhere}.'
    )
