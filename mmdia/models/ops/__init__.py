from .normalization import Source, normalize_with_source
from .recomputation import normalize_sum, rectify
from .sums import gated_sum, weighted_sum

__all__ = [
    'Source',
    'gated_sum',
    'normalize_sum',
    'normalize_with_source',
    'rectify',
    'weighted_sum',
]
