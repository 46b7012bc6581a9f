"""Reading and writing of checkpoint files."""

import io
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator

import torch
from torch import Tensor

from mmdia.checkpoints.loader import weights_in
from mmdia.engine.files import replace_file

KEPT_META = ('epoch', 'classes', 'CLASSES', 'dataset_meta')


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Say which file it is whose content is wrong."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error


def state_of(content: Dict[str, Any]) -> Dict[str, Tensor]:
    """The weights in a checkpoint, without the prefix of ``DataParallel``.

    Raises:
        ValueError: If there are none.
    """
    state = weights_in(content)
    if not (isinstance(state, dict) and state):
        raise ValueError('it holds no state dict')
    wrong = [key for key in state if not isinstance(key, str)]
    if wrong:
        raise ValueError(f'names of weights must be str, got {wrong[0]!r}')
    others = [key for key, value in state.items() if not isinstance(value, Tensor)]
    if others:
        raise ValueError(f'its state dict holds more than tensors: {others[0]}')
    return {key.removeprefix('module.'): value for key, value in state.items()}


def harmless_meta(content: Dict[str, Any]) -> Dict[str, Any]:
    """What of a checkpoint describes its weights, and neither the run nor the machine."""
    found = {**content, **content.get('meta', {})}
    return {key: found[key] for key in KEPT_META if key in found}


def serialize(content: Dict[str, Any]) -> bytes:
    """The bytes of a checkpoint file: the same for the same content."""
    # A file's name would become part of its content.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def write_file(path: Path, data: bytes) -> None:
    """Write a file at once or not at all; nothing to do where it is there already.

    Raises:
        FileExistsError: If it has another content.
    """
    if path.exists():
        if path.is_file() and path.read_bytes() == data:
            return
        raise FileExistsError(f'{path} exists with another content')
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, data)
