"""Child registries of MMEngine's, under the scope ``mmdia``.

They import the modules that they hold on first use, so that
``type='mmdia.DIAResNet'`` works in the configs of any OpenMMLab library
without ``custom_imports``.
"""

from contextlib import suppress
from importlib import import_module
from typing import Any, Iterator

from mmengine.registry import DefaultScope, Registry, root

# Whose types those of a config are that is built in no scope but ours.
LIBRARIES = ('mmpretrain', 'mmdet')


class AddedRegistry(Registry):
    """A registry whose scope adds to the scope around it.

    MMEngine gives the scope of a package to all dicts of a config that is
    inherited from it: below ``_base_ = 'mmdia::...'`` all types without a scope
    are ours. Those that are not are types of the library whose scope surrounds
    that of the dict, such as the default scope of a run.
    """

    def surrounding(self) -> Iterator[Registry]:
        """The registries of the same kind in the scopes around ours, the nearest first."""
        scopes = [scope.scope_name for scope in reversed(DefaultScope._instance_dict.values())]
        others = [scope for scope in scopes if scope != self.scope]
        for scope in dict.fromkeys(others or LIBRARIES):
            with suppress(ImportError):  # a library that is not installed, or not whole
                import_module(f'{scope}.registry')
                registry = self.parent._search_child(scope)
                if registry is not None:
                    registry.import_from_location()
                    yield registry

    def get(self, key: str) -> Any:
        """Find what is registered under a name; see :meth:`mmengine.registry.Registry.get`."""
        self.import_from_location()
        if isinstance(key, str) and '.' not in key and key not in self.module_dict:
            for registry in self.surrounding():
                if key in registry.module_dict:
                    return registry.module_dict[key]
        return super().get(key)


def add_to(parent: Registry, *locations: str) -> AddedRegistry:
    """Make the child of a registry of MMEngine.

    Args:
        parent (Registry): The registry.
        *locations (str): The modules that register something.
    """
    return AddedRegistry(parent.name, parent=parent, scope='mmdia', locations=list(locations))


MODELS = add_to(root.MODELS, 'mmdia.models')
DATASETS = add_to(root.DATASETS, 'mmdia.datasets')
HOOKS = add_to(root.HOOKS, 'mmdia.engine')
LOOPS = add_to(root.LOOPS, 'mmdia.engine')
OPTIM_WRAPPERS = add_to(root.OPTIM_WRAPPERS, 'mmdia.engine')
# Those to which nothing is added have their types from around.
for registry in vars(root).values():
    if isinstance(registry, Registry) and 'mmdia' not in registry.children:
        add_to(registry)
