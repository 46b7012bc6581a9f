"""Reading of checkpoint files without running code that they bring along."""

import io
import os
from pathlib import Path
from typing import Any, BinaryIO, Dict, Union

import torch
from torch import Tensor

from . import unpickler
from .unpickler import NotPlainError

# Set to 1 by users who trust all files that they load.
TRUST = 'MMDIA_TRUST'
ZIP = b'PK\x03\x04'
# How files of torch.save begin before torch 1.6: a pickle of a number.
LEGACY = b'\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.'


class UnsafeCheckpointError(ValueError):
    """A file can only be read by running code that it brings along."""


def is_trusted() -> bool:
    """Whether the user trusts all files."""
    return os.environ.get(TRUST) == '1'


def is_safetensors(path: Path) -> bool:
    """Whether a file is one of safetensors, by its name."""
    return path.suffix == '.safetensors'


def read_file(path: Union[str, os.PathLike], trust: bool = False, map_location: Any = None) -> Any:
    """Read a checkpoint file.

    Args:
        path (str | os.PathLike): A file of :func:`torch.save`, or of
            safetensors if its name ends so.
        trust (bool): Whether code in the file may run. The environment
            variable ``MMDIA_TRUST=1`` says so for all files. Defaults to False.
        map_location (Any): See :func:`torch.load`; for safetensors a device.
            Defaults to None, the CPU.

    Returns:
        Any: The content: of safetensors a state dict, else what was saved.

    Raises:
        OSError: If there is no such file, or it cannot be opened.
        UnsafeCheckpointError: If the file is not trusted and holds more than
            tensors, plain values and what MMEngine saves.
        ValueError: If the file is truncated or not a checkpoint.
        ImportError: If the file needs safetensors, which is not installed.
    """
    path, map_location = Path(path), map_location or 'cpu'
    with open(path, 'rb') as file:
        try:
            if is_safetensors(path):
                from safetensors.torch import load_file

                return load_file(path, device=str(map_location))
            if trust or is_trusted():
                return torch.load(file, map_location=map_location, weights_only=False)
            return read_plain(file, map_location)
        except ImportError:
            raise
        except NotPlainError as error:
            raise UnsafeCheckpointError(
                f'checkpoint {path} holds {error.name}, which is no plain value: reading it could '
                f'run any code. If you trust its origin, set {TRUST}=1, or give our tools --trust; '
                'else ask for the state dict alone.'
            ) from error
        except Exception as error:  # damaged files fail in every way
            text = str(error).partition('\n')[0]
            reason = text if ' ' in text else repr(error)
            raise ValueError(
                f'checkpoint {path} is truncated or not a checkpoint: {reason}'
            ) from error


def read_plain(file: BinaryIO, map_location: Any) -> Any:
    """Read tensors and plain values; see :func:`read_file`.

    Raises:
        NotPlainError: If there is anything else.
    """
    archive = open_archive(file)
    # A file that is also a tar archive would be unpacked.
    source = file if archive else io.BytesIO(file.read())

    def room(key: str) -> int:
        """The bytes that a storage can have."""
        return len(archive.get_record(f'data/{key}') if archive else source.getbuffer())

    if os.environ.get('TORCH_FORCE_WEIGHTS_ONLY_LOAD') in ('1', 'y', 'yes', 'true'):
        return torch.load(source, map_location=map_location, weights_only=True)
    return torch.load(
        source, map_location=map_location, pickle_module=unpickler, weights_only=False, room=room
    )


def open_archive(file: BinaryIO) -> Any:
    """Open a file of :func:`torch.save`, which is a zip file, or None before PyTorch 1.6.

    Raises:
        NotPlainError: If it is a program in TorchScript.
        ValueError: If it is no file of :func:`torch.save`, by its beginning.
        RuntimeError: If it misses its end.
    """
    beginning = file.read(len(LEGACY))
    file.seek(0)
    if beginning == LEGACY:
        return None
    if not beginning.startswith(ZIP):
        raise ValueError('torch.save writes no such file')
    # Of two ways to read a zip file, this is the one of torch.load.
    archive = torch._C.PyTorchFileReader(file)
    if 'constants.pkl' in archive.get_all_records():
        raise NotPlainError('a program in TorchScript')
    file.seek(0)
    return archive


def check_file(path: Path) -> None:
    """Check that a file is a checkpoint, as far as its beginning and its end say.

    Raises:
        OSError: If it cannot be opened.
        ValueError: If it is none.
    """
    with open(path, 'rb') as file:
        try:
            if is_safetensors(path):
                from safetensors import safe_open

                safe_open(path, 'pt')
            else:
                open_archive(file)
        except Exception as error:  # damaged files fail in every way
            raise ValueError(f'it is truncated or not a checkpoint: {error}') from error


def save_file(state: Dict[str, Tensor], path: Union[str, os.PathLike]) -> None:
    """Save a state dict as a file of safetensors.

    Args:
        state (Dict[str, Tensor]): Tensors by their names.
        path (str | os.PathLike): The file, whose name must end so.

    Raises:
        ValueError: If the name does not end in ``.safetensors``.
        TypeError: If a value is not a tensor.
        ImportError: If safetensors is not installed.
    """
    import safetensors.torch

    if not is_safetensors(Path(path)):
        raise ValueError(f'the name of a file of safetensors must end so, got {path}')
    # Tensors must not share memory.
    copies = {name: torch.clone(value).contiguous() for name, value in state.items()}
    safetensors.torch.save_file(copies, path, metadata=dict(format='pt'))
