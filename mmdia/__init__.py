"""Shared attention along the depth of ResNets, for OpenMMLab."""

from .compat import check_requirements
from .version import __version__

check_requirements()

from mmengine.config.utils import MODULE2PACKAGE  # noqa: E402

# MMEngine resolves ``mmdia::...`` config names only for packages that it knows.
MODULE2PACKAGE.setdefault('mmdia', 'mmdia')

__all__ = ['__version__']
