"""The tools that draw what trained networks do, run in this process on tiny networks."""

import csv
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmdia.models.utils.recording import LISTENERS

ROOT = Path(__file__).parents[1]
TOOLS = ROOT / 'tools' / 'analysis_tools'
DIGITS = ROOT / 'configs' / 'demo' / 'dia-resnet18_digits.py'
INTERACTIONS = {
    'plain': None,
    'DIA': dict(type='mmdia.DIALSTM', ratio=2),
    'RLA': dict(type='mmdia.RLA', context_channels=8, hidden_channels=4, ratio=2),
    'MRLA-B': dict(type='mmdia.MRLABase', head_channels=4),
    'MRLA-L': dict(type='mmdia.MRLALight', head_channels=4),
}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Configs of tiny networks."""
    folder = tmp_path_factory.mktemp('configs')
    for name, interaction in INTERACTIONS.items():
        cfg = Config.fromfile(DIGITS)
        cfg.model.backbone = dict(
            type='mmdia.CIFARResNet',
            depth=20,
            block='basic',
            base_channels=4,
            interaction=interaction,
        )
        cfg.model.head.in_channels = 16
        cfg.dump(folder / f'{name}.py')
    return folder


@pytest.fixture
def run(folder, tmp_path, monkeypatch, capsys):
    """Run a tool; returns the rows of its table and what it printed."""
    monkeypatch.setenv('MMDIA_TRUST', '')
    monkeypatch.chdir(folder)

    def run(tool, *args, suffix='.png'):
        out = tmp_path / f'out{suffix}'
        main = runpy.run_path(str(TOOLS / tool))['main']
        main([*map(str, args), '--out', str(out)])
        assert out.stat().st_size > 1000
        assert not LISTENERS
        with out.with_suffix('.csv').open(newline='', encoding='utf-8') as file:
            return list(csv.DictReader(file)), capsys.readouterr().out

    return run


FEW = ('--max-images', 12, '--batch-size', 8)


def test_curve(run):
    rows, _ = run('attention.py', 'curve', 'RLA.py', 'none', '--beside', 'DIA.py', 'none', *FEW)
    assert [row['model'] for row in rows] == ['RLA'] * 9 + ['DIA'] * 9
    assert [row['value'] for row in rows] == ['layer_gate'] * 9 + ['gate'] * 9
    assert [row['block'] for row in rows[:4]] == ['layer1.0', 'layer1.1', 'layer1.2', 'layer2.0']
    assert all(0 < float(row['mean']) < 1 and row['images'] == '12' for row in rows)


def test_curve_by_class(run):
    rows, _ = run('attention.py', 'curve', 'RLA.py', 'none', *FEW, '--by', 'class', '--normalize')
    classes = {row['class'] for row in rows}
    assert len(rows) == 9 * len(classes) and classes <= set(map(str, range(10)))
    # Gates of fresh RLA may be constant, those of DIA are not.
    rows, _ = run('attention.py', 'curve', 'DIA.py', 'none', *FEW, '--by', 'image', '--normalize')
    numbers = np.array([float(row['number']) for row in rows]).reshape(12, 9)
    np.testing.assert_allclose(numbers.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(numbers.std(0), 1, rtol=1e-3)


def test_scores(run):
    rows, _ = run('attention.py', 'scores', 'MRLA-B.py', 'none', *FEW, '--stages', 'layer3')
    assert [(row['block'], row['attended block']) for row in rows] == [
        ('1', '1'), ('2', '1'), ('2', '2'), ('3', '1'), ('3', '2'), ('3', '3')
    ]  # fmt: skip
    scores = [float(row['mean score']) for row in rows]
    assert scores[0] == 1
    assert sum(scores[1:3]) == pytest.approx(1) and sum(scores[3:]) == pytest.approx(1)


def test_integration(run):
    options = (*FEW, '--trees', 3, '--jobs', 1)
    rows, _ = run('attention.py', 'integration', 'DIA.py', 'none', *options, suffix='.svg')
    assert len(rows) == 3 * (1 + 2)
    assert all(float(row['importance']) == 1 for row in rows if row['target block'] == '2')


@pytest.mark.parametrize(
    ('attention', 'value'),
    [
        (dict(type='mmdia.SGE', groups=2), 'spatial_gate'),
        (dict(type='mmdia.NonLocal'), 'pair_weight'),
    ],
)
def test_integration_of_maps_of_different_sizes(run, folder, attention, value):
    cfg = Config.fromfile(folder / 'plain.py')
    cfg.model.backbone.interaction = dict(type='mmdia.BlockAttention', attention=attention)
    cfg.test_dataloader.batch_size = 1
    resize = dict(type='mmcv.RandomResize', scale=(8, 8), ratio_range=(1.0, 3.0))
    cfg.test_dataloader.dataset.pipeline.insert(0, resize)
    cfg.dump(folder / 'maps.py')
    with pytest.raises(SystemExit, match=f'maps: {value} needs images of one size: .* differ'):
        run('attention.py', 'integration', 'maps.py', 'none', '--max-images', 6, '--value', value)


def test_gradients_of_a_frozen_network(run, folder):
    cfg = Config.fromfile(folder / 'plain.py')
    cfg.model.backbone.frozen_stages = 3
    cfg.dump(folder / 'frozen.py')
    with pytest.raises(SystemExit, match='frozen: no block gets a gradient; is all of it frozen'):
        run('gradients.py', 'frozen.py', 'none', *FEW)


def test_gradients(run):
    options = ('--max-images', 8, '--batch-size', 4, '--labels', 'a', 'b')
    rows, text = run('gradients.py', 'plain.py', 'none', '--beside', 'DIA.py', 'none', *options)
    assert {row['model'] for row in rows} == {'a', 'b'}
    assert {row['stage'] for row in rows} == {'layer1', 'layer2', 'layer3'}
    assert text.count('standard deviation') == 6


def test_gradients_are_those_of_the_loss(run):
    """Of a whole data set in one batch, against autograd on the model that the tool builds."""
    options = ['--max-images', '6', '--batch-size', '6', '--split', 'test']
    _, text = run('gradients.py', 'plain.py', 'none', *options)
    tool = runpy.run_path(str(TOOLS / 'gradients.py'))
    args = tool['parse_args'](['plain.py', 'none', *options])
    (subject,) = tool['read_subjects'](args)
    (data,) = tool['batches'](subject, args, training=True)
    maps = []
    for stage in subject.model.backbone.stages():
        stage.register_forward_hook(lambda _, inputs, x: maps.append(x))
    loss = subject.model.train()(**data, mode='loss')['loss']
    for i, gradient in enumerate(torch.autograd.grad(loss, maps), 1):
        assert f'plain, layer{i}: mean {gradient.abs().mean():.3g},' in text


@pytest.fixture
def image(tmp_path):
    path = tmp_path / 'image.png'
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8))
    return path


def test_grad_cam(run, image, tmp_path):
    models = ('RLA.py', 'none', '--beside', 'plain.py', 'none')
    rows, text = run('grad_cam.py', image, *models, '--blocks', 'all', '--category', 3)
    assert [row['model'] for row in rows] == ['RLA'] * 9 + ['plain'] * 9
    assert {row['class'] for row in rows} == {'3'}
    assert all(0 < float(row['layer gate']) < 1 for row in rows[:9])
    assert not any(row['layer gate'] for row in rows[9:])
    assert text.count('softmax score') == 2
    curve = tmp_path / 'curve.csv'
    gates = [float(row['layer gate']) for row in rows[:9]]
    lines = ['model,block,mean,standard deviation']
    lines += [f'RLA,{row["block"]},{gate - 1},0.5' for row, gate in zip(rows, gates)]
    curve.write_text('\n'.join(lines))
    options = ('--blocks', 'all', '--normalize-by', curve)
    rows, _ = run('grad_cam.py', image, 'RLA.py', 'none', *options)
    assert [float(row['layer gate']) for row in rows] == pytest.approx([2] * 9, rel=1e-4)


def test_training_curves(run, tmp_path):
    for name, accuracy in (('a', 40.0), ('b', 60.0)):
        folder = tmp_path / name / '20260101_000000' / 'vis_data'
        folder.mkdir(parents=True)
        (folder / 'scalars.json').write_text(
            '{"loss": 1.5, "epoch": 1, "iter": 5, "step": 5}\n'
            '{"attention/gate/layer1.0/mean": 0.5, "step": 5}\n'
            f'{{"accuracy/top1": {accuracy}, "step": 1}}\n'
        )
    (tmp_path / 'aborted').mkdir()
    folders = [tmp_path / name for name in ('a', 'aborted', 'b')]
    with pytest.warns(UserWarning, match='left out: .*aborted has no validation'):
        rows, _ = run('training_curves.py', *folders, suffix='.pdf')
    assert [tuple(row.values()) for row in rows] == [
        ('a', 'training loss', '1', '1.5'),
        ('a', 'accuracy/top1', '1', '40'),
        ('b', 'training loss', '1', '1.5'),
        ('b', 'accuracy/top1', '1', '60'),
    ]
    with pytest.raises(SystemExit, match='--metrics must be some of accuracy/top1, got mAP'):
        run('training_curves.py', tmp_path / 'a', '--metrics', 'mAP')
    with pytest.raises(SystemExit, match='no validation in its logs'):
        run('training_curves.py', tmp_path)
    with pytest.raises(SystemExit, match='none does not exist'):
        run('training_curves.py', tmp_path / 'a', tmp_path / 'none')


WRONG = {
    'no attention': ('attention.py curve plain.py none', 'plain computes no attention$'),
    'no such value': (
        'attention.py curve MRLA-L.py none --value gate',
        'MRLA-L computes no gate$',
    ),
    'no scores': ('attention.py scores DIA.py none', 'DIA computes no layer_score$'),
    'no stage': (
        'attention.py scores MRLA-B.py none --stages layer4',
        '--stages must be some of layer1, layer2, layer3, got layer4',
    ),
    'no config': ('gradients.py nothing.py none', 'config nothing.py cannot be read'),
    'no checkpoint': ('gradients.py plain.py nothing.pth', 'nothing.pth'),
    'no block': ('grad_cam.py IMAGE plain.py none --blocks layer9.0', "got .'layer9.0'."),
    'no category': (
        'grad_cam.py IMAGE plain.py none --category 10',
        r'category must be in 0 \.\.\. 9',
    ),
    'no image': ('grad_cam.py nothing.png plain.py none', 'image nothing.png cannot be read'),
    'no curve': (
        'grad_cam.py IMAGE RLA.py none --normalize-by no.csv',
        'no.csv has no curve of RLA',
    ),
}


@pytest.mark.parametrize('case', WRONG)
def test_wrong_arguments(run, image, case):
    command, message = WRONG[case]
    tool, *args = command.replace('IMAGE', str(image)).split()
    if tool == 'attention.py':
        args += map(str, FEW)
    with pytest.raises(SystemExit, match=message):
        run(tool, *args)


@pytest.mark.parametrize(
    'options, message',
    [
        (['--out', 'a.jpg'], '--out must end in .png, .pdf, .svg, got a.jpg'),
        (['--max-images', '-1'], '--max-images must be at least 0, got -1'),
        (['--labels', 'a', 'b'], '--labels needs 1 different labels, got a b'),
        (['--device', 'moon'], '--device moon cannot be used'),
        (['--normalize'], '--normalize needs --by'),
    ],
)
def test_options_that_cannot_be_used(options, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tool = runpy.run_path(str(TOOLS / 'attention.py'))
    with pytest.raises(SystemExit):
        tool['parse_args'](['curve', 'DIA.py', 'none', *options])
    assert message in capsys.readouterr().err


def test_pictures_that_cannot_be_written(tmp_path):
    """They are refused before anything is computed, and missing folders are made."""
    (tmp_path / 'file').touch()
    (tmp_path / 'folder.png').mkdir()
    parse_args = runpy.run_path(str(TOOLS / 'attention.py'))['parse_args']
    for out in (tmp_path / 'file' / 'a.png', tmp_path / 'folder.png'):
        with pytest.raises(SystemExit, match=f'--out {out} cannot be written: '):
            parse_args(['curve', 'DIA.py', 'none', '--out', str(out)])
    parse_args(['curve', 'DIA.py', 'none', '--out', str(tmp_path / 'new' / 'deep' / 'a.png')])
    assert not list((tmp_path / 'new' / 'deep').iterdir())


def test_without_the_extra(run, image, monkeypatch):
    monkeypatch.setitem(sys.modules, 'sklearn.ensemble', None)
    with pytest.raises(SystemExit, match='pip install scikit-learn'):
        run('attention.py', 'integration', 'DIA.py', 'none', *FEW)
    monkeypatch.setitem(sys.modules, 'pytorch_grad_cam', None)
    with pytest.raises(SystemExit, match='pip install grad-cam'):
        run('grad_cam.py', image, 'plain.py', 'none')
