"""Schedules made shorter, against what their schedulers do."""

from itertools import pairwise

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import PARAM_SCHEDULERS

from mmdia.results.schedule import schedule_length, shorten


def config(schedulers, **train_cfg):
    return Config(dict(train_cfg=train_cfg, param_scheduler=schedulers))


def learning_rates(cfg, epochs):
    """The learning rate of each epoch."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedulers = [
        PARAM_SCHEDULERS.build(dict(scheduler, optimizer=optimizer))
        for scheduler in cfg.param_scheduler
    ]
    rates = []
    for _ in range(epochs):
        rates.append(optimizer.param_groups[0]['lr'])
        for scheduler in schedulers:
            scheduler.step()
    return rates


def test_steps_come_at_the_same_parts():
    steps = dict(type='MultiStepLR', by_epoch=True, milestones=[60, 120, 160], gamma=0.2)
    cfg = config([steps], by_epoch=True, max_epochs=200, val_interval=1)
    whole = learning_rates(cfg, 200)
    shorten(cfg, scale=0.1)
    assert schedule_length(cfg) == 20
    assert learning_rates(cfg, 20) == pytest.approx(whole[::10])


@pytest.mark.parametrize(
    'scheduler',
    (
        dict(type='CosineAnnealingLR', T_max=40, by_epoch=True, end=40),
        dict(type='LinearLR', start_factor=0.1, begin=0, end=40, by_epoch=True),
        dict(type='PolyLR', power=1, begin=0, end=40, by_epoch=True),
        dict(type='StepLR', step_size=20, by_epoch=True, gamma=0.5),
    ),
    ids=lambda scheduler: scheduler['type'],
)
def test_ends_are_the_same(scheduler):
    cfg = config([scheduler], by_epoch=True, max_epochs=40)
    whole = learning_rates(cfg, 40)
    shorten(cfg, epochs=10)
    short = learning_rates(cfg, 10)
    assert short[0] == pytest.approx(whole[0])
    # The steps are coarser: the curves differ by no more than one of them.
    step = max(abs(a - b) for a, b in pairwise(short))
    assert short[1:] == pytest.approx(whole[4::4], abs=step)
    assert short[-1] == pytest.approx(whole[-1], abs=step / 2)


def test_one_cycle_ends_with_the_training():
    cycle = dict(type='OneCycleLR', eta_max=1.0, total_steps=20, by_epoch=True)
    cfg = config(cycle, by_epoch=True, max_epochs=20, val_interval=5)
    shorten(cfg, epochs=10)
    assert cfg.param_scheduler.total_steps == 10 and cfg.train_cfg.val_interval == 2
    rates = learning_rates(config([cfg.param_scheduler], max_epochs=10), 10)
    assert max(rates) == pytest.approx(1.0) and rates[-1] < 1e-4


def test_warm_up_and_endless_schedulers():
    warm_up = dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500)
    steps = dict(type='MultiStepLR', by_epoch=True, begin=0, end=int(1e9), milestones=[8, 11])
    cfg = config([warm_up, steps], max_epochs=12, type='EpochBasedTrainLoop')
    shorten(cfg, scale=0.5)
    assert schedule_length(cfg) == 6
    assert cfg.param_scheduler[0].begin == 0 and cfg.param_scheduler[0].end == 250
    assert cfg.param_scheduler[1].milestones == [4, 6] and cfg.param_scheduler[1].end == int(1e9)


def test_iterations():
    steps = dict(type='MultiStepLR', by_epoch=False, milestones=[350_000, 430_000])
    cfg = config([steps], type='IterBasedTrainLoop', max_iters=490_000, val_interval=10_000)
    shorten(cfg, scale=0.001)
    assert schedule_length(cfg) == 490 and cfg.train_cfg.val_interval == 10
    assert cfg.param_scheduler[0].milestones == [350, 430]


@pytest.mark.parametrize(('interval', 'scaled'), ((35_000, 1750), (1, 1), (-1, -1)))
def test_checkpoints_come_within_the_training(interval, scaled):
    for factor, expected in ((0.05, scaled), (2.0, interval)):
        cfg = config([], type='IterBasedTrainLoop', max_iters=490_000)
        cfg.default_hooks = dict(checkpoint=dict(interval=interval))
        shorten(cfg, scale=factor)
        assert cfg.default_hooks.checkpoint.interval == expected


def test_nothing_to_do():
    steps = dict(type='MultiStepLR', by_epoch=True, milestones=[81, 122])
    cfg = config([steps], by_epoch=True, max_epochs=164, val_interval=1)
    before = cfg.to_dict()
    shorten(cfg)
    shorten(cfg, scale=1.0)
    shorten(cfg, epochs=164)
    assert cfg.to_dict() == before
