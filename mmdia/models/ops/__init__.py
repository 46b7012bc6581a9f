from .gated_sum import gated_sum
from .normalization import Source, normalize_with_source
from .recomputation import recomputed

__all__ = ['Source', 'gated_sum', 'normalize_with_source', 'recomputed']
