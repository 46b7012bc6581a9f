"""Shared attention along the depth of ResNets, for OpenMMLab."""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from .compat import check_requirements, has_distribution
from .version import __version__

check_requirements()

from mmengine.config.utils import MODULE2PACKAGE  # noqa: E402

if TYPE_CHECKING:
    from .models.attachment import attach, detach

# MMEngine resolves ``mmdia::...`` config names only for packages that it knows.
MODULE2PACKAGE.setdefault('mmdia', 'mmdia')
# It looks for ``mmseg::...`` in the distribution mmsegmentation, not in onedl-mmsegmentation.
for module, distribution in MODULE2PACKAGE.items():
    if module != distribution and find_spec(module) and not has_distribution(distribution):
        MODULE2PACKAGE[module] = module

__all__ = ['__version__', 'attach', 'detach']


def __getattr__(name: str) -> Any:
    """The functions for other libraries' models, which import PyTorch and MMCV on first use."""
    if name in ('attach', 'detach'):
        from .models import attachment

        return getattr(attachment, name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
