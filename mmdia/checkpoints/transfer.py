"""One request for a file, which continues what an earlier one left."""

import sys
from http.client import HTTPException
from typing import Iterator, Optional
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from .partial import CHUNK, PartialFile

# Seconds without a byte.
TIMEOUT = 30.0


class MirrorError(Exception):
    """A mirror did not give a file.

    Args:
        reason (str): Why.
        again (bool): Whether it might if asked again. Defaults to False.
    """

    def __init__(self, reason: str, again: bool = False) -> None:
        super().__init__(reason)
        self.again = again


def explain(error: Exception) -> str:
    """Why a connection failed, in a few words."""
    error = getattr(error, 'reason', error)
    if isinstance(error, TimeoutError):
        return f'no answer within {TIMEOUT:g} s'
    return getattr(error, 'strerror', None) or str(error) or type(error).__name__


def request(url: str, part: PartialFile):
    """Ask a server for what is missing of a file.

    Args:
        url (str): Address of the file.
        part (PartialFile): What there is of it.

    Returns:
        The response, to be read and closed.

    Raises:
        MirrorError: If there is no connection, or the server refuses.
    """
    headers = {'User-Agent': 'mmdia', 'Accept-Encoding': 'identity'}
    if part.size:
        headers['Range'] = f'bytes={part.size}-'
    try:
        return urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code == 416:  # there is more on disk than there is to have
            part.restart()
        again = error.code in (408, 416, 429) or error.code >= 500
        raise MirrorError(f'HTTP {error.code} {error.reason}', again) from error
    except (OSError, HTTPException, ValueError) as error:
        raise MirrorError(explain(error)) from error


def whole_size(response, part: PartialFile) -> Optional[int]:
    """Size of the whole file, if a server says so; the part then fits its answer.

    Args:
        response: What :func:`request` returned.
        part (PartialFile): What there is of the file; it restarts if the
            server sends all of it.

    Raises:
        MirrorError: If the server sends another part than was asked for.
    """
    if response.status != 206:
        part.restart()
    elif not response.headers.get('Content-Range', '').startswith(f'bytes {part.size}-'):
        part.restart()
        raise MirrorError('the server sent another part than was asked for', again=True)
    length = response.headers.get('Content-Length', '')
    return part.size + int(length) if length.isdigit() else None


def receive(response) -> Iterator[bytes]:
    """Yield what a server sends, as it comes.

    Raises:
        MirrorError: If the connection breaks or stalls.
    """
    try:
        while data := response.read1(CHUNK):
            yield data
    except (OSError, HTTPException) as error:
        raise MirrorError(explain(error), again=True) from error


def progress_bar() -> Progress:
    """A bar for people; none in log files."""
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    return Progress(*columns, console=console, disable=not sys.stderr.isatty())


def transfer(url: str, part: PartialFile) -> None:
    """Complete a file from one address.

    Args:
        url (str): Address of the file.
        part (PartialFile): What there is of it, which grows.

    Raises:
        MirrorError: If the address does not give the rest of the file.
        DiskError: If the file cannot be written.
    """
    with request(url, part) as response, progress_bar() as bar:
        total = whole_size(response, part)
        task = bar.add_task('', total=total, completed=part.size)
        for data in receive(response):
            part.write(data)
            bar.update(task, completed=part.size)
    if total is not None and part.size != total:
        reason = f'the connection ended after {part.size} of {total} bytes'
        raise MirrorError(reason, again=True)
