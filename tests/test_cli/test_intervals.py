"""Counts of a config that would divide by zero, or never end."""

import pytest
from mmengine.config import Config

from mmdia.cli.intervals import check_intervals


def config(**entries):
    return Config(dict(train_cfg=dict(by_epoch=True, max_epochs=3)) | entries)


@pytest.mark.parametrize('value', (0, -1, -5, 0.5, '1', True, None))
@pytest.mark.parametrize('name', ('max_epochs', 'max_iters', 'val_interval'))
def test_training(name, value):
    with pytest.raises(SystemExit, match=rf'^train_cfg\.{name} must be a positive integer, got '):
        check_intervals(config(train_cfg={name: value}))
    check_intervals(config(train_cfg={name: 2}))


def test_dynamic_intervals():
    loop = dict(max_epochs=3, dynamic_intervals=[(1, 2), (2, 0)])
    with pytest.raises(SystemExit, match=r'^train_cfg\.dynamic_intervals must .*, got 0'):
        check_intervals(config(train_cfg=loop))


@pytest.mark.parametrize('value', (0, -2, '1'))
def test_hooks(value):
    message = r'^{} must be a positive integer, or -1 for never, got '
    hook = dict(type='LoggerHook', interval=value)
    with pytest.raises(SystemExit, match=message.format(r'default_hooks\.logger\.interval')):
        check_intervals(config(default_hooks=dict(timer=None, logger=hook)))
    with pytest.raises(SystemExit, match=message.format(r'custom_hooks\.1\.interval')):
        check_intervals(config(custom_hooks=[dict(type='EMAHook'), hook]))


@pytest.mark.parametrize(
    ('place', 'value', 'entries'),
    (
        ('train_cfg.val_begin', -1, dict(train_cfg=dict(max_epochs=3, val_begin=-1))),
        (
            'default_hooks.checkpoint.save_begin',
            -1,
            dict(default_hooks=dict(checkpoint=dict(save_begin=-1))),
        ),
        ('log_processor.window_size', 0, dict(log_processor=dict(window_size=0))),
        ('optim_wrapper.accumulative_counts', 0, dict(optim_wrapper=dict(accumulative_counts=0))),
        (
            'optim_wrapper.a.accumulative_counts',
            0,
            dict(optim_wrapper=dict(a=dict(accumulative_counts=0))),
        ),
    ),
)
def test_other_counts(place, value, entries):
    with pytest.raises(SystemExit, match=f'^{place} must be a .* integer, got {value}'):
        check_intervals(config(**entries))


def test_usual_configs():
    check_intervals(config())
    loop = dict(max_epochs=3, val_begin=0, dynamic_intervals=[(0, 1), (2, 1)])
    check_intervals(config(train_cfg=loop, default_hooks=dict(checkpoint=dict(save_begin=0))))
    check_intervals(config(default_hooks=dict(checkpoint=dict(interval=-1), logger=dict())))
