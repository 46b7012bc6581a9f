from .gated_sum import gated_sum
from .normalization import normalize
from .recomputation import recomputed

__all__ = ['gated_sum', 'normalize', 'recomputed']
