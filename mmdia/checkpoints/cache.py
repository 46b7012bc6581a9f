"""Where checkpoints are on disk, and how they get there."""

import os
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Optional
from urllib.parse import urlsplit

from torch import hub

from .download import check_hash, download, is_current, is_good, report
from .index import HASH_IN_NAME, Checkpoint, find_checkpoint
from .reader import check_file

# Weights of small models, which come with the package.
WEIGHTS = Path(__file__).with_name('weights')
# A folder, or the beginning of URLs, that is asked before the public mirrors.
MIRROR = 'MMDIA_CHECKPOINTS'


def cache_folder() -> Path:
    """Folder of downloaded files, which torchvision, timm and MMEngine share."""
    return Path(hub.get_dir(), 'checkpoints')


def private_folder() -> Optional[Path]:
    """The user's folder, if the mirror is one."""
    mirror = os.environ.get(MIRROR, '')
    return Path(mirror).expanduser().absolute() if mirror and '://' not in mirror else None


def find_on_disk(checkpoint: Checkpoint) -> Optional[Path]:
    """The file of a checkpoint in the user's folder, the package or the cache; None without one."""
    check = partial(check_hash, digits=checkpoint.sha256)
    folders = filter(None, (private_folder(), WEIGHTS, cache_folder()))
    paths = (folder / checkpoint.filename for folder in folders)
    return next((path for path in paths if is_good(path, check)), None)


def fetch(name: str) -> Path:
    """The file of a named checkpoint, downloaded where it is not on disk.

    Args:
        name (str): See :func:`find_checkpoint`.

    Returns:
        Path: The file, whose hash is right.

    Raises:
        ValueError: If there is no such checkpoint, or it has no weights yet.
        OSError: If no mirror gives the file, or it cannot be written.
    """
    checkpoint = find_checkpoint(name)
    found = find_on_disk(checkpoint)
    if found is not None:
        return found
    urls, folder = checkpoint.urls, private_folder()
    mirror = folder.as_uri() if folder else os.environ.get(MIRROR)
    if mirror:
        urls = (f'{mirror.rstrip("/")}/{checkpoint.filename}', *urls)
    target = cache_folder() / checkpoint.filename
    check = partial(check_hash, digits=checkpoint.sha256)
    download(urls, target, check, elsewhere=f', or put it into a folder that {MIRROR} names')
    return target


def fetch_url(url: str) -> Path:
    """The file of a URL, downloaded where it is not in the cache.

    A name that ends in a hash, such as ``NAME-0123abcd.pth``, is kept, and the
    hash has to be right. Other files get a hash of their URL into their names,
    and are downloaded again where the server says that they have changed.

    Args:
        url (str): The URL.

    Raises:
        OSError: If it gives no checkpoint, or that cannot be written.
    """
    name = Path(urlsplit(url).path).name
    in_name = HASH_IN_NAME.search(name)
    if in_name:
        target = cache_folder() / name
        download([url], target, partial(check_hash, digits=in_name[1]))
        return target
    stem, suffix = Path(name).stem[:100], Path(name).suffix[:20]
    target = cache_folder() / f'{stem}-{sha256(url.encode()).hexdigest()[:16]}{suffix}'
    try:
        download([url], target, check_file, partial(is_current, url=url))
    except OSError as error:
        if not is_good(target, check_file):
            raise
        report(f'{error}\nusing {target}')
    return target
