from .checkpointing import checkpoint_module
from .precision import full_precision, global_avg_pool, scale_channels
from .pretrained import load_pretrained
from .validation import check_positive_int, reduce_channels

__all__ = [
    'check_positive_int',
    'checkpoint_module',
    'full_precision',
    'global_avg_pool',
    'load_pretrained',
    'reduce_channels',
    'scale_channels',
]
