from .bottleneck import BottleneckMLP, reduce_channels
from .checkpointing import checkpoint_module
from .kernels import channel_kernel_size, check_kernel_size
from .layers import build_activation_layer, build_conv_layer, build_norm_layer, check_affine
from .lookup import arguments, configured_class, registered_names
from .precision import (
    as_factor,
    full_precision,
    global_avg_pool,
    like_parameters,
    repeat_entries,
    scale_channels,
    single_or_double,
    sum_pixels,
)
from .pretrained import load_pretrained, read_checkpoint
from .recording import record
from .trunk_names import our_names

__all__ = [
    'BottleneckMLP',
    'arguments',
    'as_factor',
    'build_activation_layer',
    'build_conv_layer',
    'build_norm_layer',
    'channel_kernel_size',
    'check_affine',
    'check_kernel_size',
    'checkpoint_module',
    'configured_class',
    'full_precision',
    'global_avg_pool',
    'like_parameters',
    'load_pretrained',
    'our_names',
    'read_checkpoint',
    'record',
    'reduce_channels',
    'registered_names',
    'repeat_entries',
    'scale_channels',
    'single_or_double',
    'sum_pixels',
]
