"""The hook writes what is computed, and the training is the same without it."""

import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmdia.engine import AttentionHook
from mmdia.engine.hooks.attention import add_histograms
from mmdia.models import ResNet
from mmdia.results.records import read_progress
from mmdia.visualization import Recorder

DIGITS = Path(__file__).parents[2] / 'configs' / 'demo' / 'dia-resnet18_digits.py'


def train(work_dir, *hooks):
    cfg = Config.fromfile(DIGITS)
    cfg.model.backbone.update(base_channels=8, stem_channels=8, ratio=2)
    cfg.model.head.in_channels = 64
    cfg.train_dataloader.update(batch_size=4)
    cfg.train_dataloader.dataset.indices = 12
    cfg.val_dataloader.dataset.indices = 4
    cfg.test_dataloader = cfg.test_cfg = cfg.test_evaluator = None
    cfg.train_cfg.max_epochs = cfg.param_scheduler.end = 1
    cfg.work_dir, cfg.log_level = str(work_dir), 'WARNING'
    cfg.randomness = dict(seed=0, deterministic=True)
    cfg.experiment_name = Path(work_dir).name
    cfg.custom_hooks = list(hooks)
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def test_training_with_the_hook(tmp_path, monkeypatch):
    plain = train(tmp_path / 'plain')
    recorders = []

    class Watched(Recorder):
        def __init__(self, *args):
            super().__init__(*args)
            recorders.append(self)

    monkeypatch.setattr('mmdia.visualization.Recorder', Watched)
    hook = dict(type='mmdia.AttentionHook', interval=2, names=['gate', 'gradient'])
    runner = train(tmp_path / 'seen', hook)
    for key, value in plain.model.state_dict().items():
        assert torch.equal(runner.model.state_dict()[key], value), key

    (recorder,) = recorders  # of iteration 2, of 3
    (path,) = (tmp_path / 'seen').glob('*/vis_data/scalars.json')
    lines = list(map(json.loads, path.read_text().splitlines()))
    (line,) = (line for line in lines if 'attention/gate/layer1.0/mean' in line)
    assert line['step'] == 2 and len(line) == 1 + 2 * 2 * 8
    for name in ('gate', 'gradient'):
        for block, record in recorder[name].items():
            values = record.samples.double()
            key = f'attention/{name}/{block}'
            assert line[f'{key}/mean'] == pytest.approx(values.mean().item(), rel=1e-4, abs=1e-9)
            assert line[f'{key}/std'] == pytest.approx(values.std(correction=0).item(), rel=1e-4)
    for name in ('gate', 'gradient'):
        image = cv2.imread(str(path.parent / 'vis_image' / f'attention_{name}_2.png'))
        assert image.shape[2] == 3 and image.std() > 10
    assert read_progress(tmp_path / 'seen')['steps'] == [1]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in runner.model.modules())


class Board:
    """What TensorBoard offers."""

    def __init__(self):
        self.written = {}

    def add_histogram(self, name, values, step):
        self.written[name, step] = values


class Wandb:
    """What Weights & Biases offers."""

    @staticmethod
    def Histogram(values):
        return f'histogram of {len(values)}'


class Backend:
    def __init__(self, experiment):
        self.experiment, self.scalars = experiment, {}

    def add_scalars(self, scalars, step):
        self.scalars.update(scalars)


def test_backends_with_histograms_of_their_own():
    board, wandb = Backend(Board()), Backend(Wandb())
    runner = SimpleNamespace(visualizer=SimpleNamespace(_vis_backends=dict(a=board, b=wandb)))
    values = {'layer1.0': torch.rand(32)}
    add_histograms(runner, 'gate', values, step=7)
    ((key, written),) = board.experiment.written.items()
    assert key == ('attention/gate/layer1.0', 7)
    assert torch.equal(written, values['layer1.0'])
    assert wandb.scalars == {'attention/gate/layer1.0/histogram': 'histogram of 32'}


class Canvas:
    """A backend that takes images."""

    experiment = None

    def __init__(self):
        self.images = {}

    def add_image(self, name, image, step):
        self.images[name, step] = image


@pytest.mark.parametrize('value', (float('nan'), float('inf'), -float('inf')))
def test_values_that_are_not_finite(value):
    """As those of gradients where the loss scale is too large: the training goes on."""
    board, wandb, canvas = Backend(Board()), Backend(Wandb()), Canvas()
    backends = dict(a=board, b=wandb, c=canvas)
    runner = SimpleNamespace(visualizer=SimpleNamespace(_vis_backends=backends))
    some, none = torch.tensor([0.5, value, 1]), torch.full((3,), value)
    add_histograms(runner, 'gradient', {'layer1.0': some, 'layer1.1': none}, step=7)
    assert list(board.experiment.written) == [('attention/gradient/layer1.0', 7)]
    assert wandb.scalars == {'attention/gradient/layer1.0/histogram': 'histogram of 2'}
    assert list(canvas.images) == [('attention_gradient', 7)]
    add_histograms(runner, 'gradient', {'layer1.0': none}, step=8)
    assert len(board.experiment.written) == len(canvas.images) == 1


def test_maps_of_different_sizes():
    """As of crops of two sizes in one iteration of self-supervised trainings."""
    board = Backend(Board())
    model = ResNet(18, dict(type='mmdia.BlockAttention', attention=dict(type='mmdia.SGE')))
    visualizer = SimpleNamespace(_vis_backends=dict(a=board), add_scalars=board.add_scalars)
    runner = SimpleNamespace(model=model, iter=0, visualizer=visualizer)
    hook = AttentionHook(interval=1, names=['spatial_gate'])
    hook.before_train_iter(runner, 0)
    for size in (64, 96):
        model(torch.rand(2, 3, size, size))
    hook.after_train_iter(runner, 0)
    ((_, written),) = [e for e in board.experiment.written.items() if 'layer4.1' in e[0][0]]
    assert len(written) == 2 * 64 * (2 * 2 + 3 * 3)  # images, groups and positions
    assert 0 < board.scalars['attention/spatial_gate/layer4.1/mean'] < 1


def test_wrong_arguments():
    with pytest.raises(ValueError, match='interval'):
        AttentionHook(interval=0)
    with pytest.raises(TypeError, match='histograms'):
        AttentionHook(histograms=1)
    with pytest.raises(TypeError, match='names'):
        AttentionHook(names='gate')
