"""The scheme ``mmdia://NAME`` for checkpoints, wherever MMEngine loads one."""

from types import ModuleType
from typing import Any

from .cache import fetch
from .reader import read_file

PREFIX = 'mmdia://'


def load_from_mmdia(filename: str, map_location: Any = None) -> Any:
    """Load a named checkpoint.

    Args:
        filename (str): ``mmdia://NAME``; see :func:`fetch`.
        map_location (Any): See :func:`read_file`. Defaults to None.
    """
    return read_file(fetch(filename.removeprefix(PREFIX)), map_location=map_location)


def register(module: ModuleType) -> None:
    """Register the scheme.

    Args:
        module (ModuleType): ``mmengine.runner.checkpoint``.
    """
    module.CheckpointLoader.register_scheme(PREFIX, load_from_mmdia, force=True)
