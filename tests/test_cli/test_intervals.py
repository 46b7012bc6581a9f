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


def test_usual_configs():
    check_intervals(config())
    check_intervals(config(default_hooks=dict(checkpoint=dict(interval=-1), logger=dict())))


def test_nothing_to_train():
    with pytest.raises(SystemExit, match='has no train_cfg'):
        check_intervals(Config(dict(train_cfg=None), filename='my.py', cfg_text=' '))
