"""Which runs can be resumed, and from what."""

import shlex
from argparse import ArgumentParser
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import CheckpointHook, EMAHook
from mmengine.optim import ConstantLR, OptimWrapper, OptimWrapperDict
from mmengine.registry import OPTIMIZERS
from mmengine.runner import EpochBasedTrainLoop

from mmdia.cli.command_line import add_config_options
from mmdia.cli.resume import make_resumable, options, resume_or_stop
from mmdia.cli.weights import load_or_stop
from mmdia.engine import InterruptionHook

from ..toy_training import ToyTraining

WEIGHTS = {'a': torch.zeros(2)}
COMPLETE = dict(meta=dict(epoch=1, iter=2), state_dict=WEIGHTS, optimizer={}, message_hub={})


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
        dict(type='mmengine.hooks.CheckpointHook', interval=2),
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


def test_early_stopping_comes_before_checkpoints():
    hook = dict(type='EarlyStoppingHook', monitor='loss')
    cfg = config(default_hooks=dict(stop=dict(hook)), custom_hooks=[dict(hook, priority=1)])
    make_resumable(cfg)
    assert (cfg.default_hooks.stop.priority, cfg.custom_hooks[0].priority) == ('LOW', 1)


@pytest.mark.parametrize('kind', (EpochBasedTrainLoop, 'mmengine.runner.EpochBasedTrainLoop'))
def test_loops_may_be_classes(kind):
    cfg = config(train_cfg=dict(type=kind, max_epochs=2))
    make_resumable(cfg)
    assert cfg.train_cfg.type == 'mmdia.ResumableTrainLoop'
    assert not cfg.train_dataloader.persistent_workers


def resume(content, path, *hooks):
    """What happens at a resume when a checkpoint has been read."""
    added = []
    runner = SimpleNamespace(
        resume=None, load_checkpoint=print, hooks=hooks, register_hook=added.append
    )
    resume_or_stop(runner, str(path))
    assert runner._load_from == str(path) and runner._resume
    (hook,) = added
    hook.after_load_checkpoint(runner, content)


@pytest.mark.parametrize(
    'content',
    (
        dict(state_dict=WEIGHTS),
        WEIGHTS,
        COMPLETE | dict(meta=None),
        COMPLETE | dict(meta=dict(epoch=1)),
        {key: value for key, value in COMPLETE.items() if key != 'optimizer'},
    ),
    ids=('state dict', 'no state dict', 'no meta', 'no iteration', 'no optimizer'),
)
def test_what_is_not_a_run_is_not_resumed(content):
    with pytest.raises(SystemExit, match=r'^x\.pth holds weights alone and cannot be resumed'):
        resume(content, 'x.pth')
    resume(COMPLETE, 'x.pth')


@pytest.mark.parametrize(
    'parts', (['state_dict'], ['state_dict', 'ema_state_dict'], ['ema_state_dict'])
)
def test_weights_and_averages_have_to_fit(parts, tmp_path):
    training = ToyTraining(tmp_path)
    training.averages = 'ema_state_dict' in parts
    training.interrupt_at(1)
    with pytest.raises(SystemExit, match='143'):
        training.run()
    path = tmp_path / 'interrupted.pth'
    content = torch.load(path, weights_only=False)
    for part in parts:
        content[part].popitem()
    torch.save(content, path)
    with pytest.raises(SystemExit, match=r'interrupted\.pth cannot be resumed (.|\n)*layer\.bias'):
        training.run()


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


@OPTIMIZERS.register_module()
class Bare(torch.optim.Optimizer):
    """Has an option, and none of those that PyTorch's own have, as LARS and LAMB of MMPretrain."""

    def __init__(self, params, lr):
        super().__init__(params, dict(lr=lr))

    def step(self, closure=None):
        """Leave the parameters as they are."""


def test_optimizers_of_other_libraries(tmp_path, capfd):
    training = ToyTraining(tmp_path)
    training.optimizer = dict(type='Bare', lr=0.1)
    training.interrupt_at(4)
    with pytest.raises(SystemExit, match='143'):
        training.run()
    training.run()
    assert 'replaces options' not in ''.join(capfd.readouterr())


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


def test_advice_can_be_pasted():
    path = "my runs/it's (1).pth"
    with pytest.raises(SystemExit) as stop:
        resume(WEIGHTS, path)
    parser = ArgumentParser()
    add_config_options(parser)
    advice = str(stop.value).partition('to start from them: ')[2]
    assert parser.parse_args(shlex.split(advice)).cfg_options == dict(load_from=path)


@pytest.mark.parametrize('hooks', ([], [InterruptionHook()]))
def test_averages_need_their_hook(hooks):
    """Without it, the averages would be trained in the place of the weights."""
    content = COMPLETE | dict(ema_state_dict={'module.a': torch.zeros(2)})
    with pytest.raises(SystemExit, match=r'a\.pth holds averages .* .*ema\.type=EMAHook\n'):
        resume(content, 'a.pth', *hooks)
    resume(content, 'a.pth', *hooks, EMAHook())
