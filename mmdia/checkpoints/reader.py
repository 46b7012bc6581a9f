"""Reading of checkpoint files without running code that they bring along."""

import os
import re
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ContextManager, Dict, Union

# Set to 1 by users who trust all files that they load.
TRUST = 'MMDIA_TRUST'
OFFENDER = re.compile(r'(?:GLOBAL|Unsupported class) `?([^\s`]+)')


class UnsafeCheckpointError(ValueError):
    """A file can only be read by running code that it brings along."""


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
        map_location (Any): See :func:`torch.load`; for safetensors a device
            or None, the CPU. Defaults to None.

    Returns:
        Any: The content: of safetensors a state dict, else what was saved.

    Raises:
        FileNotFoundError: If there is no such file.
        UnsafeCheckpointError: If the file is not trusted and holds more than
            tensors, plain values and what MMEngine saves.
        ValueError: If the file is truncated or not a checkpoint.
        ImportError: If the file needs safetensors, which is not installed.
    """
    import torch  # not above: importing mmdia must not import torch

    path = Path(path)
    trust = trust or os.environ.get(TRUST) == '1'
    with open(path, 'rb') as file:
        try:
            if is_safetensors(path):
                return safetensors().load_file(path, device=str(map_location or 'cpu'))
            with nullcontext() if trust else harmless_classes():
                return torch.load(file, map_location=map_location, weights_only=not trust)
        except ImportError:
            raise
        except Exception as error:  # damaged files fail in every way
            raise explain(path, error) from error


def save_file(state: Dict[str, Any], path: Union[str, os.PathLike]) -> None:
    """Save a state dict as a file of safetensors.

    Args:
        state (Dict[str, Tensor]): Tensors by their names.
        path (str | os.PathLike): The file, whose name must end so.

    Raises:
        ValueError: If the name does not end in ``.safetensors``, or a value is
            not a tensor.
        ImportError: If safetensors is not installed.
    """
    from torch import Tensor  # not above: importing mmdia must not import torch

    if not is_safetensors(Path(path)):
        raise ValueError(f'the name of a file of safetensors must end so, got {path}')
    others = [key for key, value in state.items() if not isinstance(value, Tensor)]
    if others:
        raise ValueError(f'files of safetensors hold tensors alone, got {", ".join(others)}')
    # Tensors must not share memory.
    copies = {key: value.detach().contiguous().clone() for key, value in state.items()}
    safetensors().save_file(copies, path, metadata=dict(format='pt'))


def safetensors() -> Any:
    """The module ``safetensors.torch``.

    Raises:
        ImportError: If it is not installed.
    """
    try:
        import safetensors.torch as module
    except ImportError as error:
        raise ImportError('files of safetensors need it: pip install safetensors') from error
    return module


def has_allow_list() -> bool:
    """Whether this version of torch can allow classes for a while (since 2.5)."""
    from torch import serialization

    return hasattr(serialization, 'safe_globals')


def harmless_classes() -> ContextManager:
    """A context in which torch reads what MMEngine saves, where it can."""
    if not has_allow_list():
        return nullcontext()
    from torch.serialization import safe_globals

    from .safe_classes import safe_classes

    return safe_globals(safe_classes())


def explain(path: Path, error: Exception) -> ValueError:
    """What to tell users of a file that cannot be read."""
    offender = OFFENDER.search(str(error))
    if offender is None:
        reason = str(error).rpartition('WeightsUnpickler error: ')[2].strip().partition('\n')[0]
        return ValueError(f'checkpoint {path} is truncated or not a checkpoint: {reason}')
    return UnsafeCheckpointError(
        f'checkpoint {path} holds {offender[1]}, which is no plain value: reading it could run '
        f'any code. If you trust its origin, set {TRUST}=1, or give our tools --trust; else ask '
        'for the state dict alone.'
        + ('' if has_allow_list() else ' With torch 2.5 or newer, checkpoints of MMEngine load.')
    )
