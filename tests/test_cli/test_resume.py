"""Which runs can be resumed, and from what."""

import shlex
from argparse import ArgumentParser
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import CheckpointHook, EMAHook
from mmengine.optim import ConstantLR, OptimWrapper, OptimWrapperDict
from mmengine.runner import EpochBasedTrainLoop

from mmdia.checkpoints import load_safely
from mmdia.cli.command_line import add_config_options
from mmdia.cli.resume import make_resumable, options, read_resumable, resume_or_stop
from mmdia.cli.weights import check_weights, load_or_stop
from mmdia.engine import InterruptionHook

from ..toy_training import ToyTraining

COMPLETE = dict(
    meta=dict(epoch=1, iter=2), state_dict={'a': torch.zeros(2)}, optimizer={}, message_hub={}
)


def config(**entries):
    loops = dict(by_epoch=True, max_epochs=2)
    return Config(dict(train_cfg=loops, train_dataloader=dict(persistent_workers=True)) | entries)


def test_dumped_configs_stay_as_they_are():
    cfg = config(custom_hooks=[dict(type='EMAHook')])
    make_resumable(cfg)
    dumped = Config.fromstring(cfg.pretty_text, '.py')
    again = Config.fromstring(cfg.pretty_text, '.py')
    make_resumable(again)
    assert again.to_dict() == dumped.to_dict()
    # Those of earlier versions have collected hooks.
    again.custom_hooks = [*again.custom_hooks, dict(type=InterruptionHook)]
    make_resumable(again)
    assert again.to_dict() == dumped.to_dict()


@pytest.mark.parametrize(
    'hook',
    (
        dict(type='CheckpointHook', interval=2),
        dict(type='mmengine.CheckpointHook', interval=2),
        dict(type=CheckpointHook, interval=2),
    ),
)
def test_checkpoint_hooks_are_durable(hook):
    cfg = config(default_hooks=dict(checkpoint=dict(hook)), custom_hooks=[dict(hook)])
    make_resumable(cfg)
    for found in (cfg.default_hooks.checkpoint, cfg.custom_hooks[0]):
        assert found == dict(type='mmdia.DurableCheckpointHook', interval=2)


def test_checkpoint_hooks_of_others_are_left_alone():
    hooks = dict(checkpoint=None, other=dict(type='their.CheckpointHook'))
    cfg = config(default_hooks=hooks)
    make_resumable(cfg)
    assert cfg.default_hooks == hooks
    cfg = config()
    make_resumable(cfg)  # MMEngine saves by default
    assert cfg.default_hooks.checkpoint == dict(type='mmdia.DurableCheckpointHook', interval=1)


def test_loops_may_be_classes():
    cfg = config(train_cfg=dict(type=EpochBasedTrainLoop, max_epochs=2))
    make_resumable(cfg)
    assert cfg.train_cfg.type == 'mmdia.ResumableTrainLoop'
    assert not cfg.train_dataloader.persistent_workers


@pytest.mark.parametrize(
    ('content', 'problem'),
    (
        (torch.zeros(2), 'holds no state dict, but a Tensor'),
        ([1, 2], 'holds no state dict, but a list'),
        (COMPLETE | dict(meta=None), 'holds weights alone and cannot be resumed'),
        (COMPLETE | dict(meta=dict(epoch=1)), 'holds weights alone and cannot be resumed'),
        (COMPLETE | dict(state_dict=None), 'state_dict must be a dict, got a NoneType'),
        ({0: 1}, 'names of weights must be str, got 0'),
        (
            COMPLETE | dict(state_dict=dict(a=1)),
            "state_dict must hold tensors by their names, got 'a': int",
        ),
        (COMPLETE | dict(ema_state_dict=None), 'ema_state_dict must be a dict, got NoneType'),
        (
            COMPLETE | dict(ema_state_dict={0: torch.zeros(1)}),
            'ema_state_dict must hold tensors by their names, got 0: Tensor',
        ),
        (COMPLETE | dict(meta=dict(epoch='1', iter=2)), "meta.epoch must be an int, got '1'"),
    ),
    ids=(
        'tensor',
        'list',
        'no meta',
        'no iteration',
        'no weights',
        'integer keys',
        'number',
        'no averages',
        'integer keys of averages',
        'text',
    ),
)
def test_what_is_not_a_run_is_not_resumed(content, problem, tmp_path):
    load_safely()  # as the tools do
    torch.save(content, tmp_path / 'x.pth')
    with pytest.raises(SystemExit, match=rf'x\.pth:? {problem}'):
        read_resumable(str(tmp_path / 'x.pth'))


def test_what_cannot_be_read_is_not_resumed(tmp_path):
    load_safely()  # as the tools do
    path = tmp_path / 'x.pth'
    path.write_text('text')
    with pytest.raises(SystemExit, match=r'x\.pth is truncated or not a checkpoint'):
        read_resumable(str(path))
    with pytest.raises(SystemExit, match='Is a directory'):
        read_resumable(str(tmp_path))


def test_averages_have_to_fit_too(tmp_path):
    averages = {'module.a': torch.zeros(3), 'steps': torch.tensor(1)}
    torch.save(COMPLETE | dict(ema_state_dict=averages), tmp_path / 'x.pth')
    weights, averages = read_resumable(str(tmp_path / 'x.pth'))
    model = {'a': torch.zeros(2)}
    check_weights('x.pth', weights, model)
    with pytest.raises(SystemExit, match=r'x\.pth does not fit .*\n  a: shape \(3,\), .* \(2,\)'):
        check_weights('x.pth', averages, model)
    for value in (1, 'a', None, [1.0], {}):
        message = rf'\n  a: of type {type(value).__name__}, the model has shape \(2,\)'
        with pytest.raises(SystemExit, match=message):
            check_weights('x.pth', dict(a=value), model)


@pytest.mark.parametrize('error', (RuntimeError, TypeError, ValueError, OSError))
def test_weights_that_fail_to_load(error):
    def load_checkpoint(filename):
        raise error(f'{filename} is wrong')

    runner = SimpleNamespace(load_checkpoint=load_checkpoint, register_hook=lambda hook: None)
    load_or_stop(runner, strict=False)
    with pytest.raises(SystemExit, match=r'x\.pth is wrong'):
        runner.load_checkpoint('x.pth')


ADAM = dict(type='Adam', lr=0.01)
STEPS = [
    dict(type='LinearLR', start_factor=0.5, end=2, by_epoch=False),
    dict(type='MultiStepLR', milestones=[2], end=3),
]


@pytest.mark.parametrize(
    ('optimizer', 'schedule', 'warnings'),
    (
        (ADAM, STEPS, ()),
        (ADAM | dict(lr=0.1), STEPS, ('LinearLR.base_values: [0.01], not [0.1]',)),
        (ADAM | dict(weight_decay=0.1), STEPS, ('Adam.weight_decay: [0], not [0.1]',)),
        (
            ADAM,
            [STEPS[0], dict(type='MultiStepLR', milestones=[4, 5], end=6)],
            ('MultiStepLR.end: 3, not 6', 'MultiStepLR.milestones: [2], not [4, 5]'),
        ),
        (
            ADAM,
            [STEPS[0], dict(type='CosineAnnealingLR', T_max=3)],
            ('CosineAnnealingLR.gamma: 0.1, not given',),
        ),
    ),
    ids=('the same', 'learning rate', 'weight decay', 'longer schedule', 'another schedule'),
)
def test_options_that_a_checkpoint_replaces(optimizer, schedule, warnings, tmp_path, capfd):
    training = ToyTraining(tmp_path)
    training.optimizer, training.schedule = ADAM, STEPS
    training.interrupt_at(4)
    with pytest.raises(SystemExit):
        training.run()
    training.optimizer, training.schedule = optimizer, schedule
    capfd.readouterr()
    training.run()
    output = ''.join(capfd.readouterr())
    for warning in warnings:
        assert f'\n  {warning}\n' in output
    assert ('interrupted.pth replaces options of the config' in output) == bool(warnings)


def test_options_of_several_optimizers(tmp_path):
    def build(lr):
        layers = [torch.nn.Linear(1, 1) for _ in range(2)]
        wrappers = {
            str(i): OptimWrapper(torch.optim.SGD(layer.parameters(), lr, momentum=0.5))
            for i, layer in enumerate(layers)
        }
        schedulers = {name: [ConstantLR(each, end=3)] for name, each in wrappers.items()}
        return SimpleNamespace(
            optim_wrapper=OptimWrapperDict(**wrappers), param_schedulers=schedulers
        )

    found = options(build(0.1))
    assert found[0, 'SGD.momentum'] == found[1, 'SGD.momentum'] == [0.5]
    assert found[1, 'ConstantLR.end'] == 3 and (0, 'SGD.lr') not in found
    assert found == options(build(0.1)) != options(build(0.2))


def test_advice_can_be_pasted(tmp_path):
    (tmp_path / 'my runs').mkdir()
    path = str(tmp_path / 'my runs' / "it's (1).pth")
    torch.save(dict(state_dict={'a': torch.zeros(2)}), path)
    with pytest.raises(SystemExit) as stop:
        read_resumable(path)
    parser = ArgumentParser()
    add_config_options(parser)
    advice = str(stop.value).partition('to start from them: ')[2]
    assert parser.parse_args(shlex.split(advice)).cfg_options == dict(load_from=path)


@pytest.mark.parametrize('averaged', (False, True))
@pytest.mark.parametrize('hooks', ([], [InterruptionHook()], [InterruptionHook(), EMAHook()]))
def test_averages_need_their_hook(averaged, hooks):
    """Without it, the averages would be trained in the place of the weights."""
    runner = SimpleNamespace(resume=None, hooks=hooks)
    if averaged and len(hooks) < 2:
        with pytest.raises(SystemExit, match=r'a\.pth holds averages .* .*ema\.type=EMAHook\n'):
            resume_or_stop(runner, 'a.pth', averaged)
    else:
        resume_or_stop(runner, 'a.pth', averaged)
        assert runner._load_from == 'a.pth' and runner._resume
