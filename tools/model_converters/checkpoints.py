"""Reading and writing of checkpoint files."""

import io
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator

import torch
from mmengine.runner import CheckpointLoader
from torch import Tensor

KEPT_META = ('epoch', 'classes', 'CLASSES', 'dataset_meta')


def read_checkpoint(path: str) -> Dict[str, Any]:
    """Read a checkpoint.

    Args:
        path (str): Path, URL or any other address that MMEngine knows, such
            as ``torchvision://resnet50``.

    Raises:
        OSError: If there is no such file.
        ValueError: If it is truncated, not a checkpoint, or not trusted.
    """
    try:
        content = CheckpointLoader.load_checkpoint(path, 'cpu', logger='silent')
    except (OSError, ValueError):
        raise
    except Exception as error:  # whatever readers of MMEngine provoke
        reason = str(error).partition('\n')[0]
        raise ValueError(f'{path} cannot be read: {reason}') from error
    if not isinstance(content, dict):
        raise ValueError(f'{path} is not a checkpoint: it holds a {type(content).__name__}')
    return content


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
    state = next((content[key] for key in ('state_dict', 'model') if key in content), content)
    if not (isinstance(state, dict) and state):
        raise ValueError('it holds no state dict')
    others = [str(key) for key, value in state.items() if not isinstance(value, Tensor)]
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
    partial = path.with_name(f'.{path.name}.{os.getpid()}')
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
