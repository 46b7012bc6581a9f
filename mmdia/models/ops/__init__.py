from .depthwise import can_convolve_samples, central_weights, convolve_samples
from .eager import has_hooks, is_eager
from .expansion import Expansion, can_expand
from .gated_sum import gated_sum
from .normalization import Normalized, affine_of, can_normalize, can_open, normalize
from .recomputation import SAVE_ALL, recomputed_relu
from .unrolling import unroll
from .weighted_sum import Kept, keep, weighted_sum

__all__ = [
    'SAVE_ALL',
    'Expansion',
    'Kept',
    'Normalized',
    'affine_of',
    'can_convolve_samples',
    'can_expand',
    'can_normalize',
    'can_open',
    'central_weights',
    'convolve_samples',
    'gated_sum',
    'has_hooks',
    'is_eager',
    'keep',
    'normalize',
    'recomputed_relu',
    'unroll',
    'weighted_sum',
]
