"""Which file failing code was reading."""

import os
import sys
from typing import Any, Optional, Tuple

CODE = ('.py', '.pyc')
METADATA = ('.dist-info', '.egg-info')  # folders of what is installed


class LastFileRead:
    """Context that notes the file which was opened last for reading.

    Errors of parsers do not name the file that they are about. The files of
    modules, which are imported as needed, and those of installed packages'
    metadata do not count.

    Attributes:
        path (str, optional): The file; None if there was none.
    """

    current: Optional['LastFileRead'] = None
    installed = False

    def __init__(self) -> None:
        self.path: Optional[str] = None

    def __enter__(self) -> 'LastFileRead':
        if not LastFileRead.installed:
            sys.addaudithook(note_open)  # stays, and does nothing outside of contexts
            LastFileRead.installed = True
        LastFileRead.current = self
        return self

    def __exit__(self, *error: Any) -> None:
        LastFileRead.current = None


def note_open(event: str, args: Tuple[Any, ...]) -> None:
    """Note a file that is opened, where someone wants to know."""
    if event != 'open' or LastFileRead.current is None:
        return
    path, mode, _ = args
    reads = mode is None or not set(mode) & set('wax+')
    if reads and isinstance(path, (str, os.PathLike)):
        name = str(path)
        of_modules = name.endswith(CODE) or name in sys.path  # a zip file of modules
        if not of_modules and not os.path.dirname(name).endswith(METADATA):
            LastFileRead.current.path = name
