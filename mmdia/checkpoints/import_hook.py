"""Something to do once a module is imported, without importing it now."""

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Callable, Optional

Action = Callable[[ModuleType], None]


def after_import(name: str, action: Action) -> None:
    """Call an action with a module: now if it is imported, else as soon as it is.

    Args:
        name (str): Full name of the module.
        action (Callable): Takes the module.
    """
    if name in sys.modules:
        action(sys.modules[name])
    else:
        sys.meta_path.insert(0, Watcher(name, action))


class Watcher(MetaPathFinder):
    """Finds a module as everyone else does, and calls an action after it ran.

    Args:
        name (str): See :func:`after_import`.
        action (Callable): See :func:`after_import`.
    """

    def __init__(self, name: str, action: Action) -> None:
        self.name = name
        self.action = action

    def find_spec(self, name: str, path=None, target=None) -> Optional[ModuleSpec]:
        """See :meth:`importlib.abc.MetaPathFinder.find_spec`."""
        if name != self.name:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is not None:
            execute = spec.loader.exec_module

            def execute_and_act(module: ModuleType) -> None:
                execute(module)
                self.action(module)

            spec.loader.exec_module = execute_and_act
        return spec
