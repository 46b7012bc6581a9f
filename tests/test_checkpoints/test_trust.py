"""The tools refuse checkpoints that hold code, unless they are told to trust them."""

import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain import get_model

from mmdia.checkpoints import save_file

from .test_reader import Call

ROOT = Path(__file__).parents[2]
CONFIG = f"""
_base_ = '{ROOT}/configs/demo/dia-resnet18_digits.py'
model = dict(backbone=dict(base_channels=8, stem_channels=8), head=dict(in_channels=64))
train_dataloader = dict(batch_size=8, dataset=dict(indices=16))
val_dataloader = dict(batch_size=8, dataset=dict(indices=64))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=1)
custom_hooks = [dict(type='EMAHook')]
"""


@pytest.fixture
def files(tmp_path):
    """A config, its weights, and a checkpoint of them that brings code along."""
    (tmp_path / 'config.py').write_text(CONFIG)
    state = get_model(Config.fromfile(tmp_path / 'config.py')).state_dict()
    meta = Call(Path.touch, tmp_path / 'trap')
    torch.save(dict(state_dict=state, meta=meta), tmp_path / 'unsafe.pth')
    torch.save(dict(state_dict=state), tmp_path / 'safe.pth')
    return tmp_path


@pytest.fixture
def run(files, monkeypatch, read_safely):
    """Runs a tool in this process."""
    monkeypatch.chdir(files)
    # What --trust sets, and the scope of the config, are forgotten afterwards.
    monkeypatch.setenv('MMDIA_TRUST', '')
    monkeypatch.setattr(DefaultScope, '_instance_dict', DefaultScope._instance_dict.copy())

    def run_tool(name, *args):
        tool = str(ROOT / 'tools' / name)
        monkeypatch.setattr(sys, 'argv', [tool, *args])
        runpy.run_path(tool, run_name='__main__')

    return run_tool


LOAD = 'load_from=unsafe.pth'


@pytest.mark.parametrize(
    'args',
    (
        ('test.py', 'config.py', 'unsafe.pth'),
        ('train.py', 'config.py', '--resume', 'unsafe.pth'),
        ('train.py', 'config.py', '--cfg-options', LOAD),
    ),
    ids=('test', 'resume', 'load_from'),
)
def test_code_is_refused(run, args):
    with pytest.raises(SystemExit, match=r'unsafe\.pth holds .* --trust'):
        run(*args)
    assert not Path('trap').exists()


def test_code_in_configs_does_not_run(run, files):
    """MMEngine reads the config in a checkpoint when it resumes from that."""
    run('train.py', 'config.py', '--work-dir', 'run')
    content = torch.load('run/epoch_1.pth', weights_only=False)
    content['meta']['config'] = "open('trap', 'w').close()"
    torch.save(content, 'config.pth')
    longer = ('--cfg-options', 'train_cfg.max_epochs=2')
    run('train.py', 'config.py', '--work-dir', 'other', '--resume', 'config.pth', *longer)
    assert Path('other', 'epoch_2.pth').exists()
    assert not Path('trap').exists()


def test_image_demo_refuses_code(run):
    cv2.imwrite('image.png', np.zeros((32, 32, 3), np.uint8))
    args = ('image.png', 'config.py', 'unsafe.pth', '--device', 'cpu')
    with pytest.raises(SystemExit, match=r'unsafe\.pth holds .* --trust'):
        run('image_demo.py', *args)
    assert not Path('trap').exists()


def test_code_that_is_trusted_runs(run):
    run('train.py', 'config.py', '--trust', '--cfg-options', LOAD)
    assert Path('trap').exists()


def test_safetensors(run, files):
    pytest.importorskip('safetensors')
    save_file(torch.load('safe.pth')['state_dict'], 'weights.safetensors')
    scores = []
    for i, weights in enumerate(('safe.pth', 'weights.safetensors')):
        run('test.py', 'config.py', weights, '--out', f'{i}.json', '--out-item', 'metrics')
        scores.append(json.loads(Path(f'{i}.json').read_text()))
    assert scores[0] == scores[1]
    # With an average of the weights as well, which starts from them.
    options = ('load_from=weights.safetensors', 'optim_wrapper.optimizer.lr=0.0')
    run(
        'train.py',
        'config.py',
        '--work-dir',
        'run',
        '--cfg-options',
        *options,
        'param_scheduler=None',
    )
    trained = torch.load('run/epoch_1.pth', weights_only=False)
    loaded = torch.load('safe.pth')['state_dict']
    for key, value in loaded.items():
        if key.endswith('.weight'):
            average = trained['ema_state_dict'][f'module.{key}']
            assert torch.equal(trained['state_dict'][key], value), key
            assert torch.equal(average, value), key
