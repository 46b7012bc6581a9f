"""Checkpoints wherever MMEngine loads one: ``mmdia://NAME``, and safe reading of all others."""

from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Iterator
from urllib.parse import urlsplit

from filelock import FileLock

from .cache import cache_folder, fetch
from .partial import DownloadError, PartialFile, disk_errors
from .reader import is_safetensors, read_file
from .transfer import MirrorError, transfer

PREFIX = 'mmdia://'


def load_file(path: Path, map_location: Any = None) -> Any:
    """Read a file as MMEngine wants it, whose hooks look for weights below a key."""
    content = read_file(path, map_location=map_location)
    return dict(state_dict=content) if is_safetensors(path) else content


def download_url(url: str) -> Path:
    """The file of a URL, downloaded where the cache has none of this name.

    Args:
        url (str): The URL.

    Raises:
        DownloadError: If it gives no file, or that cannot be written.
    """
    target = cache_folder() / Path(urlsplit(url).path).name
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f'{target}.lock').acquire()
    with lock:
        if target.is_file():
            return target
        with PartialFile(target) as part:
            part.restart()  # without a hash, what is left there may be of another file
            try:
                transfer(url, part)
            except MirrorError as error:
                raise DownloadError(f'could not download {url}: {error}') from error
            part.finish()
    return target


# MMEngine's log says what follows load_from_.
def load_from_mmdia(filename: str, map_location: Any = None) -> Any:
    """Load a named checkpoint.

    Args:
        filename (str): ``mmdia://NAME``; see :func:`fetch`.
        map_location (Any): See :func:`read_file`. Defaults to None.
    """
    return load_file(fetch(filename.removeprefix(PREFIX)), map_location)


def load_from_local(filename: str, map_location: Any = None) -> Any:
    """Load a file on disk; see :func:`read_file`."""
    path = Path(filename).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint {filename} does not exist')
    return load_file(path, map_location)


def load_from_http(filename: str, map_location: Any = None) -> Any:
    """Load a file behind a URL; see :func:`download_url` and :func:`read_file`."""
    return load_file(download_url(filename), map_location)


def register(module: ModuleType) -> None:
    """Register the scheme.

    Args:
        module (ModuleType): ``mmengine.runner.checkpoint``.
    """
    module.CheckpointLoader.register_scheme(PREFIX, load_from_mmdia, force=True)


def load_safely() -> None:
    """Make MMEngine read files, URLs and published names without running their code.

    From now on, in this process: paths, ``http(s)://``, and ``torchvision://``,
    ``open-mmlab://`` and ``mmcls://``, which stand for URLs. Files of safetensors can
    then be given as well.
    """
    from mmengine.runner import checkpoint  # not above: importing mmdia must not import torch

    checkpoint.CheckpointLoader.register_scheme('', load_from_local, force=True)
    urls = ('http://', 'https://')
    checkpoint.CheckpointLoader.register_scheme(urls, load_from_http, force=True)
    # The readers of names call it.
    checkpoint.load_from_http = load_from_http


@contextmanager
def loading_safely() -> Iterator[None]:
    """A context of :func:`load_safely`, after which MMEngine reads as before."""
    from mmengine.runner import checkpoint

    schemes, load_url = checkpoint.CheckpointLoader._schemes, checkpoint.load_from_http
    checkpoint.CheckpointLoader._schemes = dict(schemes)
    try:
        load_safely()
        yield
    finally:
        checkpoint.CheckpointLoader._schemes = schemes
        checkpoint.load_from_http = load_url
