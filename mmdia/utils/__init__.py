from .setup_env import register_all_modules
from .validation import (
    check_bool,
    check_bools,
    check_choice,
    check_choices,
    check_init_cfg,
    check_int,
    check_ints,
    check_layer_cfg,
    check_rate,
    check_type,
)

__all__ = [
    'check_bool',
    'check_bools',
    'check_choice',
    'check_choices',
    'check_init_cfg',
    'check_int',
    'check_ints',
    'check_layer_cfg',
    'check_rate',
    'check_type',
    'register_all_modules',
]
