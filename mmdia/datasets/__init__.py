"""Small datasets that need no download.

Each builds on one of the OpenMMLab libraries, and is there where its library is.
"""

from importlib.util import find_spec

__all__ = []

if find_spec('mmpretrain'):
    from .digits import DigitsDataset

    __all__ += ['DigitsDataset']

if find_spec('mmdet'):
    from .shapes import ShapesDataset

    __all__ += ['ShapesDataset']
