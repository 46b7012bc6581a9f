from .recomputation import apply_module, normalize_with_recipe, rectify
from .sums import gated_sum, weighted_sum

__all__ = ['apply_module', 'gated_sum', 'normalize_with_recipe', 'rectify', 'weighted_sum']
