"""Shared attention along the depth of ResNets, for OpenMMLab."""

from .compat import check_requirements
from .version import __version__

check_requirements()

from mmengine.config.utils import MODULE2PACKAGE  # noqa: E402

from . import checkpoints, hub  # noqa: E402

# MMEngine resolves ``mmdia::...`` config names only for packages that it knows.
MODULE2PACKAGE.setdefault('mmdia', 'mmdia')

checkpoints.after_import('mmpretrain.apis.model', hub.add_to_mmpretrain)
checkpoints.after_import('mmengine.infer.infer', hub.add_to_inferencers)

__all__ = ['__version__', 'checkpoints']
