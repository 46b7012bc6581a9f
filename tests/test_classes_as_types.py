"""Every tool takes configs of Python's new format, whose types are classes."""

import json
import re
from pathlib import Path

import pytest
from mmengine.config import Config

from .test_overfit import BOXES, draw_data

ROOT = Path(__file__).parents[1]
SMALL = f"""
_base_ = {str(ROOT / 'configs' / 'demo' / 'dia-resnet18_digits.py')!r}
train_dataloader = dict(batch_size=8, dataset=dict(indices=16))
val_dataloader = dict(batch_size=8, dataset=dict(indices=8))
test_dataloader = dict(batch_size=8, dataset=dict(indices=8))
model = dict(
    backbone=dict(base_channels=8, stem_channels=8), head=dict(in_channels=64, num_classes=10)
)
train_cfg = dict(max_epochs=1)
default_hooks = dict(checkpoint=dict(type='CheckpointHook', interval=1))
"""
IMPORTS = """
from mmdet.datasets import CocoDataset, RepeatDataset
from mmdet.models import FasterRCNN
from mmdia.datasets import DigitsDataset
from mmdia.models import DIAResNet, ResNet
from mmengine.hooks import CheckpointHook
from mmpretrain.datasets import PackInputs
from mmpretrain.evaluation import Accuracy
from mmpretrain.models import ImageClassifier
"""
CLASSES = set(re.findall(r'\b[A-Z]\w+', IMPORTS))


class Name(str):
    """Text that a config shows without quotes."""

    __repr__ = str.__str__


def with_classes(value):
    """A config whose types are classes, of those that are imported."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(with_classes, value))
    if not isinstance(value, dict):
        return value
    value = {key: with_classes(part) for key, part in value.items()}
    name = str(value.get('type')).rpartition('.')[2]
    return dict(value, type=Name(name)) if name in CLASSES else value


def write_with_classes(text, path):
    """Write a config in the new format, given one in the old format."""
    Path('old.py').write_text(text)
    entries = with_classes(Config.fromfile('old.py').to_dict())
    path.write_text(IMPORTS + ''.join(f'{key} = {part!r}\n' for key, part in entries.items()))
    kind = Config.fromfile(path).model.backbone.type
    assert isinstance(kind, type), kind


@pytest.fixture
def tool(run_tool, tmp_path, monkeypatch):
    """Runs a tool in a folder of the test; what it printed."""
    monkeypatch.chdir(tmp_path)
    return run_tool


def test_classifier(tool, tmp_path):
    cfg = tmp_path / 'small.py'
    write_with_classes(SMALL, cfg)
    checkpoint = Path('work_dirs/small/epoch_1.pth')
    tool('train.py', cfg)
    tool('train.py', cfg, '--resume', '--amp', '--no-validate')
    tool('test.py', cfg, checkpoint, '--show-dir', 'shown')
    tool('test.py', cfg, checkpoint, '--tta')
    image = next(tmp_path.rglob('*.png'))
    tool('image_demo.py', image, cfg, checkpoint)
    tool('analysis_tools/grad_cam.py', image, cfg, checkpoint)
    small = ('--batch-size', 2, '--image-size', 16)
    assert 'small' in tool('analysis_tools/benchmark.py', cfg, '--rounds', 1, *small)
    assert 'small.py | ' in tool('analysis_tools/get_flops.py', cfg, '--image-size', 32)


def test_detector(tool, tmp_path):
    cfg = tmp_path / 'boxes.py'
    content = draw_data(tmp_path / 'data')
    Path('data/boxes.json').write_text(json.dumps(content))
    write_with_classes(BOXES, cfg)
    said = tool('analysis_tools/overfit.py', cfg, '--images', 1, '--iterations', 1, '--size', 64)
    assert '1 images, 1 iterations' in said
