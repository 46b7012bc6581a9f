"""Where named checkpoints are on disk, and how they get there."""

import os
from pathlib import Path
from typing import Optional

from .download import download, report
from .index import Checkpoint, find_checkpoint
from .partial import is_intact

# A folder, or the beginning of URLs, that is asked before the public mirrors.
MIRROR = 'MMDIA_CHECKPOINTS'


def cache_folder() -> Path:
    """Folder of downloaded files, which torchvision, timm and MMEngine share."""
    from torch import hub  # importing mmdia must not import torch

    return Path(hub.get_dir(), 'checkpoints')


def private_mirror() -> str:
    """The user's mirror, or ''."""
    return os.environ.get(MIRROR, '').rstrip('/')


def private_file(checkpoint: Checkpoint) -> Optional[Path]:
    """Where the user's folder should have a file, or None if there is no folder."""
    mirror = private_mirror()
    if not mirror or '://' in mirror:
        return None
    return Path(mirror).expanduser() / checkpoint.filename


def find_on_disk(checkpoint: Checkpoint) -> Optional[Path]:
    """The file of a checkpoint in the user's folder or in the cache.

    Args:
        checkpoint (Checkpoint): The checkpoint.

    Returns:
        Path: The file, whose hash is right, or None.
    """
    for path in (private_file(checkpoint), cache_folder() / checkpoint.filename):
        if path is not None and is_intact(path, checkpoint.sha256):
            return path
    return None


def fetch(name: str) -> Path:
    """The file of a named checkpoint, downloaded where it is not on disk.

    Args:
        name (str): See :func:`find_checkpoint`.

    Returns:
        Path: The file, whose hash is right.

    Raises:
        ValueError: If there is no such checkpoint, or it has no weights yet.
        DownloadError: If no mirror gives the file, or it cannot be written.
    """
    checkpoint = find_checkpoint(name)
    found = find_on_disk(checkpoint)
    if found is not None:
        return found
    urls, failures = checkpoint.urls, []
    private = private_file(checkpoint)
    if private is not None:
        failures.append(f'{private}: ' + ('wrong content' if private.exists() else 'no such file'))
        report(f'{failures[0]}; trying {urls[0]}')
    elif private_mirror():
        urls = (f'{private_mirror()}/{checkpoint.filename}', *urls)
    target = cache_folder() / checkpoint.filename
    download(urls, target, checkpoint.sha256, failures)
    return target
