from .recomputation import normalize_with_recipe, rectify
from .sums import gated_sum, normalize_sum, weighted_sum

__all__ = ['gated_sum', 'normalize_sum', 'normalize_with_recipe', 'rectify', 'weighted_sum']
