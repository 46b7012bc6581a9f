"""MMPretrain's tool for class activation maps works with its defaults."""

import runpy
import sys
from argparse import Namespace
from pathlib import Path

import cv2
import mmpretrain
import numpy as np
import pytest
import torch
from mmengine.config import Config
from torch import nn

from mmdia.apis import get_model, list_attentions
from mmdia.models import ResNet
from tests.helpers import INTERACTIONS, SLIM

TOOL = Path(mmpretrain.__file__).parent / '.mim' / 'tools' / 'visualization' / 'vis_cam.py'
DIGITS = Path(__file__).parents[3] / 'configs' / 'demo' / 'dia-resnet18_digits.py'


def interactions():
    """All interactions, and all attentions in blocks and in stages."""
    for name in INTERACTIONS:
        yield dict(type=name, **SLIM.get(name, {}))
    for name in list_attentions():
        args = dict(groups=2) if name == 'mmdia.SGE' else {}
        for kind in ('mmdia.BlockAttention', 'mmdia.SharedAttention'):
            yield dict(type=kind, attention=dict(type=name, **args))


def test_default_layer_is_in_the_last_block():
    choose = runpy.run_path(str(TOOL))['get_default_target_layers']
    for interaction in interactions():
        backbone = ResNet(18, interaction, base_channels=16, num_stages=2)
        model = nn.Module()
        model.backbone = backbone
        assert choose(model, Namespace(vit_like=False)) == [backbone.layer2[1].bn2], interaction


@pytest.mark.parametrize('method', ['mmdia.DLALight', 'mmdia.SRM'])
def test_the_tool(tmp_path, monkeypatch, method):
    cfg = Config.fromfile(DIGITS)
    interaction = dict(type=method, head_channels=8, ratio=2)
    if method == 'mmdia.SRM':
        interaction = dict(type='mmdia.BlockAttention', attention=dict(type=method))
    cfg.model.backbone = dict(
        type='mmdia.ResNet', depth=18, base_channels=8, small_stem=True, interaction=interaction
    )
    cfg.model.head.in_channels = 64
    for loader in (cfg.test_dataloader, cfg.val_dataloader):
        loader.dataset.pipeline.insert(0, dict(type='LoadImageFromFile'))
    cfg.dump(tmp_path / 'config.py')
    torch.save(dict(state_dict=get_model(cfg).state_dict()), tmp_path / 'weights.pth')
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    cv2.imwrite(str(tmp_path / 'image.png'), image)
    files = [str(tmp_path / name) for name in ('image.png', 'config.py', 'weights.pth')]
    out = str(tmp_path / 'cam.png')
    monkeypatch.setattr(sys, 'argv', ['vis_cam.py', *files, '--save-path', out])
    runpy.run_path(str(TOOL), run_name='__main__')
    shown = cv2.imread(out)
    assert shown.shape == (32, 32, 3)
    assert len(np.unique(cv2.cvtColor(shown, cv2.COLOR_BGR2HSV)[..., 0])) > 10  # a map, no constant
