"""Small datasets that need no download.

Each builds on one of the OpenMMLab libraries, and is there where its library can be
imported. MMDetection cannot where MMCV has no compiled operators.
"""

from contextlib import suppress

__all__ = []

with suppress(ImportError):
    from .digits import DigitsDataset

    __all__ += ['DigitsDataset']

with suppress(ImportError):
    from .shapes import ShapesDataset

    __all__ += ['ShapesDataset']
