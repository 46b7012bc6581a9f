"""A clear error where a config trains, validates or logs every zeroth time."""

from numbers import Real
from typing import Any, Iterator, Tuple

from mmengine.config import Config

# The least value of each count. That of a hook's interval may be -1, which means never.
LEAST = dict(
    max_epochs=1,
    max_iters=1,
    val_interval=1,
    val_begin=0,
    accumulative_counts=1,
    window_size=1,
    interval=1,
    save_begin=0,
)
WHAT = ('a non-negative integer', 'a positive integer')


def parts_with_counts(cfg: Config) -> Iterator[Tuple[str, dict]]:
    """The parts of a config that may have counts, by their places."""
    for name in ('train_cfg', 'optim_wrapper', 'log_processor'):
        yield name, cfg.get(name) or {}
    for name in ('optim_wrapper', 'default_hooks'):
        for key, part in (cfg.get(name) or {}).items():
            yield f'{name}.{key}', part
    for number, hook in enumerate(cfg.get('custom_hooks') or ()):
        yield f'custom_hooks.{number}', hook


def check_count(place: str, value: Any, least: int, or_never: bool = False) -> None:
    """Exit with an error unless a value is an integer that is large enough."""
    is_integer = isinstance(value, Real) and not isinstance(value, bool) and value % 1 == 0
    if not is_integer or not (value >= least or (or_never and value == -1)):
        never = ', or -1 for never' if or_never else ''
        raise SystemExit(f'{place} must be {WHAT[least]}{never}, got {value!r}')


def check_intervals(cfg: Config) -> None:
    """Exit with an error unless the counts of a config are what they have to be.

    Args:
        cfg (Config): A complete config.

    Raises:
        SystemExit: If one is not.
    """
    for place, part in parts_with_counts(cfg):
        for name, least in LEAST.items():
            if isinstance(part, dict) and name in part:
                check_count(f'{place}.{name}', part[name], least, name == 'interval')
    for pair in cfg.train_cfg.get('dynamic_intervals') or ():
        for value, least in zip(pair, (0, 1)):
            check_count('train_cfg.dynamic_intervals', value, least)
