"""What checkpoints of MMEngine contain besides weights, all of it harmless.

A training run saves its logs (arrays of NumPy in history buffers, which refer
to their own methods), scores (scalars of NumPy), and the methods by which
OneCycleLR anneals. Training scripts of papers save their options.
"""

from argparse import Namespace
from functools import lru_cache
from pickle import UnpicklingError
from typing import Any, Callable, List

import numpy as np
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler

METHODS = (
    *((HistoryBuffer, name) for name in ('min', 'max', 'current', 'mean')),
    *((OneCycleParamScheduler, name) for name in ('_annealing_cos', '_annealing_linear')),
)
NUMPY_CORES = ('numpy.core.multiarray', 'numpy._core.multiarray')  # before NumPy 2, and since


def known_method(owner: Any, name: str) -> Callable:
    """A method of :data:`METHODS`, and nothing else; pickles ask ``getattr`` for it."""
    for cls, method in METHODS:
        if owner is cls and name == method:
            return getattr(cls, method)
    raise UnpicklingError(f'GLOBAL builtins.getattr of {owner!r} and {name!r} is not allowed')


def under_name(function: Callable, path: str) -> Callable:
    """A function that pickles know under another name.

    Args:
        function (Callable): The function.
        path (str): Module and name that pickles have.
    """

    def alias(*args):
        return function(*args)

    alias.__module__, _, alias.__qualname__ = path.rpartition('.')
    alias.__name__ = alias.__qualname__
    return alias


@lru_cache(maxsize=1)
def safe_classes() -> List[Callable]:
    """All that :func:`torch.serialization.safe_globals` is to allow."""
    core = getattr(np, '_core', None) or np.core
    codes = '?' + np.typecodes['AllInteger'] + np.typecodes['AllFloat'] + 'SU'
    return [
        HistoryBuffer,
        Namespace,
        OneCycleParamScheduler,
        np.dtype,
        np.ndarray,
        *{type(np.dtype(code)) for code in codes},
        *(under_name(core.multiarray._reconstruct, f'{m}._reconstruct') for m in NUMPY_CORES),
        *(under_name(core.multiarray.scalar, f'{m}.scalar') for m in NUMPY_CORES),
        under_name(known_method, 'builtins.getattr'),
    ]
