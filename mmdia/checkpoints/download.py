"""Downloads that resume, try several mirrors, and end complete or not at all."""

import logging
import os
import time
from pathlib import Path
from typing import Sequence

from filelock import FileLock
from mmengine.logging import print_log

from .partial import DownloadError, PartialFile, disk_errors, is_intact
from .transfer import MirrorError, transfer

# Requests to one mirror, and seconds before the second; the pause doubles from then on.
ATTEMPTS = 3
PAUSE = 1.0


def report(message: str) -> None:
    """Tell the user, in the log where there is one."""
    print_log(message, logger='current', level=logging.WARNING)


def attempt(url: str, target: Path, digits: str) -> None:
    """Ask one mirror once.

    Args:
        url (str): Address of the file.
        target (Path): Where it is to be.
        digits (str): The first digits of its SHA-256.

    Raises:
        MirrorError: If the mirror does not give the file.
        DiskError: If the file cannot be written.
    """
    with PartialFile(target) as part:
        if not part.matches(digits):
            transfer(url, part)
        if not part.matches(digits):
            part.discard()
            # What was there before may be to blame.
            raise MirrorError(
                f'wrong content: SHA-256 {part.digest.hexdigest()}, expected {digits}',
                again=part.continued,
            )
        part.finish()


def download_from(url: str, target: Path, digits: str) -> None:
    """Ask one mirror, a few times if that may help; see :func:`attempt`."""
    for left in reversed(range(ATTEMPTS)):
        try:
            return attempt(url, target, digits)
        except MirrorError as error:
            if not (left and error.again):
                raise
            report(f'{url}: {error}; trying again')
            time.sleep(PAUSE * 2 ** (ATTEMPTS - 1 - left))


def download_from_any(
    urls: Sequence[str], target: Path, digits: str, failures: Sequence[str]
) -> None:
    """Ask one mirror after the other; see :func:`download`."""
    failures = list(failures)
    for url, following in zip(urls, [*urls[1:], None]):
        print_log(f'downloading {url} to {target}', logger='current')
        try:
            return download_from(url, target, digits)
        except MirrorError as error:
            failures.append(f'{url}: {error}')
            report(failures[-1] + (f'; trying {following}' if following else ''))
    raise DownloadError(
        '\n  '.join((f'could not download {target.name}:', *failures))
        + f'\nWhere there is no internet, put the file into {target.parent}, or into a folder '
        'that MMDIA_CHECKPOINTS names.'
    )


def download(urls: Sequence[str], target: Path, digits: str, failures: Sequence[str] = ()) -> None:
    """Download a file, unless it is there.

    Of several processes one does it and the others wait. The file appears
    under its name only when it is complete and its hash is right. What a
    failure left is continued the next time, from any mirror.

    Args:
        urls (Sequence[str]): Addresses of the file, in the order in which they
            are tried.
        target (Path): Where it is to be. A file there with a wrong hash is
            renamed to ``NAME.bad``.
        digits (str): The first digits of its SHA-256.
        failures (Sequence[str]): Where it was looked for before, and why that
            failed; part of the error message. Defaults to nothing.

    Raises:
        DownloadError: If no mirror gives the file, or it cannot be written.
    """
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f'{target}.lock').acquire()
    with lock:
        if is_intact(target, digits):
            return
        if target.exists():
            aside = target.with_name(f'{target.name}.bad')
            report(f'{target} is damaged: its SHA-256 is not {digits}...; it is now {aside.name}')
            with disk_errors(aside):
                os.replace(target, aside)
        download_from_any(urls, target, digits, failures)
