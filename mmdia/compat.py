"""Checks that the installed OpenMMLab libraries are ones mmdia works with.

The OpenMMLab libraries exist under several distribution names (the classic
ones and their maintained continuation, ``onedl-*``) that share their import
names. mmdia works with either and therefore depends on none by name; it looks
at what is installed instead.
"""

import warnings
from importlib import metadata
from importlib.util import find_spec
from typing import NamedTuple, Optional, Tuple

from packaging.version import Version


class Requirement(NamedTuple):
    """A range of versions of an importable module.

    Args:
        module (str): The import name.
        distributions (Tuple[str, ...]): The names under which it is
            published, the preferred one first.
        minimum (str): The lowest version that works.
        below (str): The lowest version that is not known to work.
        optional (bool): Whether mmdia works without it.
    """

    module: str
    distributions: Tuple[str, ...]
    minimum: str
    below: str
    optional: bool = False


REQUIREMENTS = (
    Requirement('torch', ('torch',), '2.1', '3'),
    Requirement('mmengine', ('onedl-mmengine', 'mmengine', 'mmengine-lite'), '0.10', '1'),
    Requirement('mmcv', ('onedl-mmcv', 'mmcv', 'mmcv-lite'), '2.1', '3'),
    Requirement('mmpretrain', ('onedl-mmpretrain', 'mmpretrain'), '1.2', '2', optional=True),
    Requirement('mmdet', ('onedl-mmdetection', 'mmdet'), '3.3', '4', optional=True),
)


def installed_version(requirement: Requirement) -> Optional[str]:
    """The installed version of a requirement, or None where it is missing."""
    found = filter(has_distribution, requirement.distributions)
    return next(map(metadata.version, found), None)


def has_distribution(name: str) -> bool:
    """Whether a distribution is installed."""
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def check_requirement(requirement: Requirement) -> None:
    """Check one library; see :func:`check_requirements`."""
    name, low, high = requirement.module, requirement.minimum, requirement.below
    version = installed_version(requirement)
    install = f'pip install "{requirement.distributions[0]}>={low},<{high}"'
    if version is None:
        # A module without metadata (a source tree on the path) is the user's own responsibility.
        if requirement.optional or find_spec(name) is not None:
            return
        raise ImportError(f'mmdia needs {name} >={low}, <{high}, which is not installed: {install}')
    # Builds of hardware vendors call themselves pre-releases, such as 2.1.0a0+29c30b1.
    release = Version(Version(version).base_version)
    if not Version(low) <= release < Version(high):
        message = f'mmdia works with {name} >={low}, <{high}, but {version} is installed: {install}'
        if not requirement.optional:
            raise ImportError(message)
        warnings.warn(message, stacklevel=2)


def check_requirements() -> None:
    """Check every library that mmdia builds on, and warn of optional ones.

    Raises:
        ImportError: If a library that mmdia cannot do without is missing or
            its version is out of range.
    """
    for requirement in REQUIREMENTS:
        check_requirement(requirement)
