"""A clear error where a config trains, validates or logs every zeroth time."""

from numbers import Real
from typing import Any, Iterator, Tuple

from mmengine.config import Config

TRAINING = ('max_epochs', 'max_iters', 'val_interval')


def intervals(cfg: Config) -> Iterator[Tuple[str, Any, bool]]:
    """The counts of a config, each with its place, and whether it may be -1 for never."""
    for name in TRAINING:
        if name in cfg.train_cfg:
            yield f'train_cfg.{name}', cfg.train_cfg[name], False
    for _, interval in cfg.train_cfg.get('dynamic_intervals') or ():
        yield 'train_cfg.dynamic_intervals', interval, False
    hooks = {f'default_hooks.{k}': hook for k, hook in (cfg.get('default_hooks') or {}).items()}
    hooks |= {f'custom_hooks.{i}': hook for i, hook in enumerate(cfg.get('custom_hooks') or ())}
    for place, hook in hooks.items():
        if hook is not None and 'interval' in hook:
            yield f'{place}.interval', hook['interval'], True


def check_intervals(cfg: Config) -> None:
    """Exit with an error unless the counts of a config are positive integers.

    Args:
        cfg (Config): A complete config. Intervals of hooks may be -1, which means never.

    Raises:
        SystemExit: If one is not, or there is no ``train_cfg``.
    """
    if cfg.get('train_cfg') is None:
        raise SystemExit(f'{cfg.filename} has no train_cfg, which says how long to train')
    for place, value, never in intervals(cfg):
        is_integer = isinstance(value, Real) and not isinstance(value, bool) and value % 1 == 0
        if not is_integer or (value < 1 and not (never and value == -1)):
            allowed = 'a positive integer' + ', or -1 for never' * never
            raise SystemExit(f'{place} must be {allowed}, got {value!r}')
