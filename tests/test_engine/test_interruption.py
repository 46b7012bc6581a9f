"""A run that is interrupted and resumed ends as one that was not."""

import os
import random
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop
from torch.utils.data import BatchSampler, DataLoader, Dataset

from mmdia.cli.resume import make_resumable
from mmdia.cli.work_dir import is_intact, latest_checkpoint
from mmdia.engine import InterruptionHook, ResumableIterTrainLoop, ResumableTrainLoop
from mmdia.engine.hooks import interruption
from mmdia.engine.loops import seeded_batches

from ..kill_training import assert_equal

ROOT = Path(__file__).parents[2]
CLASSIFICATION = f"""
_base_ = '{ROOT}/configs/demo/dia-resnet18_digits.py'
# Everything that draws random numbers, or keeps a state of its own.
model = dict(backbone=dict(drop_path_rate=0.2))
train_dataloader = dict(batch_size=8, num_workers=WORKERS, dataset=dict(indices=38))
train_cfg = dict(max_epochs=3, val_interval=1)
val_dataloader = dict(dataset=dict(indices=7))
custom_hooks = [dict(type='SendSignal'), dict(type='EMAHook')]
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(max_keep_ckpts=-1))
"""
ACCUMULATE = 'optim_wrapper = dict(accumulative_counts=4)'
DETECTION = f"""
_base_ = '{ROOT}/configs/demo/faster-rcnn_dia-r18_fpn_shapes.py'
train_dataloader = dict(batch_size=2, num_workers=0, dataset=dict(indices=6))
val_dataloader = dict(dataset=dict(num_images=2))
train_cfg = dict(max_epochs=2, val_interval=5)
custom_hooks = [dict(type='SendSignal')]
default_hooks = dict(logger=dict(interval=1))
"""


@HOOKS.register_module()
class SendSignal(Hook):
    """Sends a signal to its own process after an iteration."""

    iteration, number = None, signal.SIGTERM

    def after_train_iter(self, runner, **kwargs):
        if runner.iter == self.iteration:
            os.kill(os.getpid(), self.number)


@pytest.fixture
def train(run_tool, tmp_path):
    """Runs tools/train.py."""

    def run(text, work_dir, *options):
        (tmp_path / 'config.py').write_text(text)
        return run_tool(
            'train.py', tmp_path / 'config.py', '--work-dir', tmp_path / work_dir, *options
        )

    return run


def load(path):
    return torch.load(path, weights_only=False, map_location='cpu')


@pytest.mark.parametrize(
    ('text', 'options', 'last', 'stop_after', 'number'),
    (
        # 38 images are 5 batches: in the middle of the second epoch.
        (CLASSIFICATION.replace('WORKERS', '1'), (), 'epoch_3.pth', 6, signal.SIGINT),
        # A step every 4 batches: the second is in the next epoch.
        (
            CLASSIFICATION.replace('WORKERS', '0') + ACCUMULATE,
            ('--amp', '--channels-last'),
            'epoch_3.pth',
            4,
            signal.SIGTERM,
        ),
        pytest.param(
            DETECTION,
            (),
            'epoch_2.pth',
            4,
            signal.SIGTERM,
            marks=pytest.mark.skipif(
                torch.cuda.is_available(), reason='RoIAlign is not deterministic on a GPU'
            ),
        ),
    ),
    ids=('workers', 'accumulation in mixed precision', 'detection'),
)
def test_resumed_run_ends_as_an_uninterrupted_one(
    text, options, last, stop_after, number, train, tmp_path, monkeypatch, capsys
):
    text += '\nrandomness = dict(seed=3, deterministic=True)\n'
    train(text, 'whole', *options)

    with monkeypatch.context() as patch, pytest.raises(SystemExit) as stopped:
        patch.setattr(SendSignal, 'iteration', stop_after)
        patch.setattr(SendSignal, 'number', number)
        train(text, 'parts', *options)
    assert stopped.value.code == 128 + number
    output = ''.join(capsys.readouterr())
    assert f'{number.name}: saving interrupted.pth' in output
    assert 'continue with: ' in output and output.split('continue with: ')[1].split('\n')[
        0
    ].endswith('--resume')
    assert not (tmp_path / 'parts' / last).exists()

    assert 'gradient of some iterations is lost' not in train(text, 'parts', *options, '--resume')
    expected, found = (load(tmp_path / name / last) for name in ('whole', 'parts'))
    for part in ('state_dict', 'optimizer', 'param_schedulers', 'ema_state_dict'):
        assert (part in expected) == (part in found)
        if part in expected:
            assert_equal(found[part], expected[part], part)


def test_config_in_a_checkpoint_does_not_run():
    checkpoint = dict(meta=dict(config='raise ValueError', epoch=1))
    InterruptionHook().after_load_checkpoint(
        SimpleNamespace(_resume=True, train_loop=None, hooks=[]), checkpoint
    )
    assert checkpoint == dict(meta=dict(epoch=1))


def test_damaged_checkpoints_are_passed_over(tmp_path, capsys):
    assert latest_checkpoint(str(tmp_path)) is None
    for i in (1, 2, 3):
        path = tmp_path / f'epoch_{i}.pth'
        torch.save(dict(meta={}, state_dict=dict(a=torch.randn(1000))), path)
        os.utime(path, (i, i))
    (tmp_path / 'last_checkpoint').write_text(str(path))
    assert latest_checkpoint(str(tmp_path)) == str(path)
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    assert not is_intact(path)
    assert latest_checkpoint(str(tmp_path)) == str(tmp_path / 'epoch_2.pth')
    # a single wrong byte in the weights
    other = tmp_path / 'epoch_2.pth'
    content = bytearray(other.read_bytes())
    content[len(content) // 2] ^= 1
    other.write_bytes(content)
    assert latest_checkpoint(str(tmp_path)) == str(tmp_path / 'epoch_1.pth')
    (tmp_path / 'epoch_1.pth').write_bytes(b'')
    with pytest.raises(SystemExit, match=r'no checkpoint in .* is intact(.*\n.*epoch_\d){3}'):
        latest_checkpoint(str(tmp_path))


def test_best_checkpoint_is_not_the_latest(tmp_path):
    torch.save(dict(a=torch.zeros(1)), tmp_path / 'best_accuracy_epoch_2.pth')
    assert latest_checkpoint(str(tmp_path)) is None


@pytest.mark.parametrize(
    ('given', 'expected'),
    (
        (dict(by_epoch=True, max_epochs=2), dict(type='mmdia.ResumableTrainLoop', max_epochs=2)),
        (
            dict(type='EpochBasedTrainLoop', max_epochs=2),
            dict(type='mmdia.ResumableTrainLoop', max_epochs=2),
        ),
        (
            dict(type=EpochBasedTrainLoop, max_epochs=2),
            dict(type='mmdia.ResumableTrainLoop', max_epochs=2),
        ),
        (
            dict(by_epoch=False, max_iters=2),
            dict(type='mmdia.ResumableIterTrainLoop', max_iters=2),
        ),
        (
            dict(type='IterBasedTrainLoop', max_iters=2),
            dict(type='mmdia.ResumableIterTrainLoop', max_iters=2),
        ),
        (dict(type='MyLoop', max_iters=2), dict(type='MyLoop', max_iters=2)),
    ),
)
def test_loops(given, expected):
    loader = dict(persistent_workers=True)
    cfg = Config(
        dict(train_cfg=given, train_dataloader=loader, custom_hooks=[dict(type='EMAHook')])
    )
    make_resumable(cfg)
    assert cfg.train_cfg == expected
    resumable = cfg.train_cfg.type == 'mmdia.ResumableTrainLoop'
    assert cfg.train_dataloader.persistent_workers != resumable
    assert [hook.type for hook in cfg.custom_hooks] == ['EMAHook', 'mmdia.InterruptionHook']


def test_every_epoch_has_random_numbers_of_its_own():
    runner = SimpleNamespace(
        seed=3, _randomness_cfg={}, model=torch.nn.Identity(), call_hook=lambda *_, **__: None
    )
    loader = DataLoader(torch.arange(2), worker_init_fn=partial(int, seed=3))
    loop = ResumableTrainLoop(runner, loader, max_epochs=2)
    drawn = []
    loop.run_iter = lambda index, batch: drawn.append(float(torch.rand(())))
    seeds = []
    for _ in range(2):
        loop.run_epoch()
        seeds.append(loader.worker_init_fn.keywords['seed'])
    assert seeds == [3, 4] and len(set(drawn)) == 4
    # The second epoch does not depend on the first.
    again = ResumableTrainLoop(runner, loader, max_epochs=2)
    again._epoch = 1
    again.run_iter = loop.run_iter
    again.run_epoch()
    assert drawn[4:] == drawn[2:4]


class Noise(Dataset):
    """Numbers of all three random generators."""

    def __len__(self):
        return 5

    def __getitem__(self, index):
        return index, random.random(), np.random.rand(), torch.rand(()).item()


def test_loaders_without_a_batch_are_not_waited_for():
    sampler = BatchSampler(range(2), batch_size=3, drop_last=True)
    with pytest.raises(ValueError, match=r'gives no batch: .* batch_size must be at most'):
        next(seeded_batches(sampler, seed=0))


class CoinSampler(InfiniteSampler):
    """Draws from the generators of the process, as GroupMultiSourceSampler of MMDetection does."""

    def __iter__(self):
        while True:
            yield np.random.randint(5) if random.random() < torch.rand(()) else 0


@pytest.mark.parametrize('workers', (0, 2))
@pytest.mark.parametrize('sampler', (DefaultSampler, InfiniteSampler, CoinSampler))
def test_every_iteration_has_random_numbers_of_its_own(sampler, workers):
    def draw(first, seed_of_sampler):
        runner = SimpleNamespace(
            seed=3,
            _randomness_cfg={},
            model=torch.nn.Identity(),
            call_hook=lambda *_, **__: None,
            val_loop=SimpleNamespace(run=lambda: validated.append(loop.iter)),
            visualizer=None,
        )
        drawn, validated = [], []

        def train_step(batch, optim_wrapper):
            drawn.append((batch, torch.rand(()).item()))

        runner.model.train_step, runner.optim_wrapper = train_step, None
        order = sampler(Noise(), seed=seed_of_sampler)
        loader = DataLoader(Noise(), 2, sampler=order, num_workers=workers, collate_fn=list)
        loop = ResumableIterTrainLoop(runner, loader, max_iters=8, val_interval=4)
        loop._iter = first
        loop.run()
        # What is due after an iteration, comes after its checkpoint.
        assert validated == [4, 8]
        return drawn

    whole = draw(0, 3)
    numbers = [number for batch, _ in whole for _, *drawn in batch for number in drawn]
    assert len(whole) == 8 and len(set(numbers)) == len(numbers)
    # Samplers are built before a checkpoint brings the seed of its run.
    for first in (3, 4):
        assert draw(first, 7) == whole[first:]


@pytest.mark.parametrize(
    ('words', 'expected'),
    (
        ('train.py c.py', 'train.py c.py --resume'),
        ('train.py c.py --resume', 'train.py c.py --resume'),
        ('train.py c.py --resume epoch_1.pth --amp', 'train.py c.py --amp --resume'),
        ('train.py --resume=epoch_1.pth c.py', 'train.py c.py --resume'),
        ('train.py c.py --res epoch_1.pth', 'train.py c.py --resume'),
        ('train.py c.py --resume --cfg-options a=1', 'train.py c.py --cfg-options a=1 --resume'),
        ('train.py --amp -- c.py', 'train.py --amp --resume -- c.py'),
        ('train.py --resume a.pth -- --resume', 'train.py --resume -- --resume'),
    ),
)
def test_command_resumes_the_latest(words, expected):
    assert interruption.resume_words(words.split()) == expected.split()


@pytest.mark.parametrize(
    ('launcher', 'world', 'local', 'expected'),
    (
        ('none', 1, None, f'continue with: {sys.executable} train.py c.py --resume'),
        (
            'pytorch',
            2,
            '2',
            f'continue with: {sys.executable} -m torch.distributed.run --nproc_per_node=2 '
            '--master_port=29501 train.py c.py --resume',
        ),
        ('pytorch', 4, '2', 'continue by starting the job as before, with --resume'),
        ('slurm', 1, None, 'continue by starting the job as before, with --resume'),
        ('mpi', 2, None, 'continue by starting the job as before, with --resume'),
    ),
)
def test_how_to_resume(launcher, world, local, expected, monkeypatch):
    monkeypatch.setattr(interruption, 'get_world_size', lambda: world)
    monkeypatch.setattr(sys, 'argv', ['train.py', 'c.py', '--resume', 'epoch_1.pth'])
    monkeypatch.setenv('MASTER_PORT', '29501')
    monkeypatch.delenv('LOCAL_WORLD_SIZE', raising=False)
    if local is not None:
        monkeypatch.setenv('LOCAL_WORLD_SIZE', local)
    assert interruption.how_to_resume(launcher) == expected


def test_trainings_killed_at_random_moments():
    """A few of what tests/kill_training.py does a hundred times."""
    command = [sys.executable, str(ROOT / 'tests' / 'kill_training.py'), '--kills', '3']
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert 'ended bit-equal, with an intact checkpoint at any time' in done.stdout
