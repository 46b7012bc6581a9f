"""Counts of a config that would divide by zero, or never end."""

import re

import pytest
from mmengine.config import Config

from mmdia.cli.intervals import check_intervals


def config(**entries):
    hooks = [dict(type='EMAHook'), dict(type='LoggerHook')]
    loops = dict(by_epoch=True, max_epochs=3)
    return Config(
        dict(train_cfg=loops, default_hooks=dict(timer=None), custom_hooks=hooks) | entries
    )


POSITIVE, OR_NEVER = 'a positive integer', 'a positive integer, or -1 for never'


@pytest.mark.parametrize(
    ('place', 'what', 'values'),
    (
        ('train_cfg.max_epochs', POSITIVE, (0, -1, 1.5, '1', True, None)),
        ('train_cfg.max_iters', POSITIVE, (0,)),
        ('train_cfg.val_interval', POSITIVE, (0,)),
        ('train_cfg.val_begin', 'a non-negative integer', (-1,)),
        ('default_hooks.logger.interval', OR_NEVER, (0, -2, '1')),
        ('default_hooks.checkpoint.save_begin', 'a non-negative integer', (-1,)),
        ('custom_hooks.1.interval', OR_NEVER, (0,)),
        ('log_processor.window_size', POSITIVE, (0,)),
        ('optim_wrapper.accumulative_counts', POSITIVE, (0,)),
        ('optim_wrapper.a.accumulative_counts', POSITIVE, (0,)),
    ),
)
def test_wrong_counts(place, what, values):
    for value in values:
        cfg = config()
        cfg.merge_from_dict({place: value})
        message = re.escape(f'{place} must be {what}, got {value!r}')
        with pytest.raises(SystemExit, match=f'^{message}$'):
            check_intervals(cfg)


def test_dynamic_intervals():
    loop = dict(max_epochs=3, dynamic_intervals=[(1, 2), (2, 0)])
    with pytest.raises(SystemExit, match=r'^train_cfg\.dynamic_intervals must .*, got 0'):
        check_intervals(config(train_cfg=loop))


def test_usual_configs():
    check_intervals(config())
    loop = dict(max_epochs=3, val_begin=0, dynamic_intervals=[(0, 1), (2, 1)])
    check_intervals(config(train_cfg=loop, default_hooks=dict(checkpoint=dict(save_begin=0))))
    check_intervals(config(default_hooks=dict(checkpoint=dict(interval=-1), logger=dict())))
