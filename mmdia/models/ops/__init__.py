from .depthwise import can_convolve_samples, central_weights, convolve_samples
from .gated_sum import gated_sum
from .normalization import Normalized, affine_of, can_normalize, normalize
from .unrolling import unroll
from .weighted_sum import Kept, keep, weighted_sum

__all__ = [
    'Kept',
    'Normalized',
    'affine_of',
    'can_convolve_samples',
    'can_normalize',
    'central_weights',
    'convolve_samples',
    'gated_sum',
    'keep',
    'normalize',
    'unroll',
    'weighted_sum',
]
