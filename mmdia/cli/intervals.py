"""A clear error where a config trains, validates or logs every zeroth time."""

from numbers import Real
from typing import Any, Iterator, Tuple

from mmengine.config import Config

TRAINING = ('max_epochs', 'max_iters', 'val_interval')

POSITIVE = 'a positive integer'
POSITIVE_OR_NEVER = 'a positive integer, or -1 for never'
NOT_NEGATIVE = 'a non-negative integer'


def training_counts(cfg: Config) -> Iterator[Tuple[str, Any, str]]:
    """The counts of the training loop, each with its place and what is allowed."""
    loop = cfg.train_cfg
    for name in TRAINING:
        if name in loop:
            yield f'train_cfg.{name}', loop[name], POSITIVE
    yield 'train_cfg.val_begin', loop.get('val_begin', 1), NOT_NEGATIVE
    for begin, interval in loop.get('dynamic_intervals') or ():
        yield 'train_cfg.dynamic_intervals', begin, NOT_NEGATIVE
        yield 'train_cfg.dynamic_intervals', interval, POSITIVE


def counts(cfg: Config) -> Iterator[Tuple[str, Any, str]]:
    """The counts of a config, each with its place and what is allowed."""
    yield from training_counts(cfg)
    wrapper = cfg.get('optim_wrapper') or {}
    wrappers = {'optim_wrapper': wrapper}
    wrappers |= {f'optim_wrapper.{k}': v for k, v in wrapper.items() if isinstance(v, dict)}
    for place, wrapper in wrappers.items():
        yield f'{place}.accumulative_counts', wrapper.get('accumulative_counts', 1), POSITIVE
    log_processor = cfg.get('log_processor') or {}
    yield 'log_processor.window_size', log_processor.get('window_size', 10), POSITIVE
    hooks = {f'default_hooks.{k}': hook for k, hook in (cfg.get('default_hooks') or {}).items()}
    hooks |= {f'custom_hooks.{i}': hook for i, hook in enumerate(cfg.get('custom_hooks') or ())}
    for place, hook in hooks.items():
        if hook is not None:
            yield f'{place}.interval', hook.get('interval', 1), POSITIVE_OR_NEVER
            yield f'{place}.save_begin', hook.get('save_begin', 0), NOT_NEGATIVE


def is_allowed(value: Any, allowed: str) -> bool:
    """Whether a value is an integer of a kind."""
    if not isinstance(value, Real) or isinstance(value, bool) or value % 1 != 0:
        return False
    return value >= (0 if allowed == NOT_NEGATIVE else 1) or (
        allowed == POSITIVE_OR_NEVER and value == -1
    )


def check_intervals(cfg: Config) -> None:
    """Exit with an error unless the counts of a config are positive integers.

    Args:
        cfg (Config): A complete config. Intervals of hooks may be -1, which means never, and
            what says when to begin may be 0.

    Raises:
        SystemExit: If one is not.
    """
    for place, value, allowed in counts(cfg):
        if not is_allowed(value, allowed):
            raise SystemExit(f'{place} must be {allowed}, got {value!r}')
