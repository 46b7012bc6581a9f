from .bottleneck import reduce_channels
from .checkpointing import checkpoint_module
from .precision import full_precision, global_avg_pool, scale_channels
from .pretrained import load_pretrained

__all__ = [
    'checkpoint_module',
    'full_precision',
    'global_avg_pool',
    'load_pretrained',
    'reduce_channels',
    'scale_channels',
]
