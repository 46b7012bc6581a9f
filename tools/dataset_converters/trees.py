"""Datasets as trees of images: what their converters share."""

import os
from argparse import ArgumentParser
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Callable, Iterator


@contextmanager
def new_tree(target: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of the target when all is written.

    Args:
        target (Path): The folder; it must not exist, or be empty.

    Yields:
        Path: A folder beside it.

    Raises:
        FileExistsError: If the target has something in it, or is a file.
    """
    target = target.resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f'{target} exists and is not an empty folder')
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f'.{target.name}-', dir=target.parent) as folder:
        tree = Path(folder, target.name)
        tree.mkdir()
        yield tree
        os.replace(tree, target)


def run(description: str, source: str, convert: Callable[[Path, Path], None]) -> None:
    """Convert as the command line says; errors of the user's files are those of a command.

    Args:
        description (str): What the converter does, in its first line.
        source (str): What SOURCE has to be.
        convert (Callable): Converts SOURCE to TARGET.
    """
    parser = ArgumentParser(description=description.partition('\n')[0])
    parser.add_argument('source', type=Path, help=source)
    parser.add_argument('target', type=Path, help='folder to write, such as data/NAME')
    args = parser.parse_args()
    try:
        convert(args.source, args.target)
    except (OSError, ValueError) as error:
        parser.error(str(error))
