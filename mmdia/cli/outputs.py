"""Paths that tools write to."""

from pathlib import Path
from tempfile import TemporaryFile
from typing import Union


def user_path(value: str) -> Path:
    """The path that an option gives; shells leave the ``~`` of ``--out=~/x`` as it is."""
    return Path(value).expanduser()


def check_folder(name: str, folder: Union[str, Path]) -> None:
    """Create a folder, and exit with an error unless files can be written into it.

    Args:
        name (str): What messages call it, such as ``'--out-dir'``.
        folder (str | Path): The folder.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise SystemExit(f'{name} {folder} cannot be written: {error}') from error


def check_file(name: str, file: Union[str, Path]) -> None:
    """Create the folder of a file, and exit with an error unless the file can be written.

    Args:
        name (str): What messages call it, such as ``'--out'``.
        file (str | Path): The file.
    """
    try:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=Path(file).parent):
            pass
        if Path(file).exists():
            open(file, 'ab').close()
    except OSError as error:
        raise SystemExit(f'{name} {file} cannot be written: {error}') from error
