"""docs/your_data.md, from start to end: its configs and commands on tiny data, as they stand."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / 'docs' / 'your_data.md').read_text(encoding='utf-8')
CONFIGS = dict(re.findall(r'`(\w+\.py)`:\n\n```python\n(.*?)^```$', PAGE, re.M | re.S))
COMMANDS = re.findall(r'^python tools/(\w+\.py) (.*)$', PAGE, re.M)
CLASSES = ('Platelets', 'RBC', 'WBC')
NAMES = ('a', 'b', 'c', 'd')
BOX = (10, 20, 40, 50)  # x1, y1, x2, y2
# Added to the configs: narrow networks on small images, for an epoch.
SLIM = """
backbone = model.setdefault('backbone', {})
backbone.update(base_channels=8, stem_channels=8)
backbone['init_cfg'] = dict(type='Pretrained', checkpoint='trunk.pth')
train_cfg = dict(max_epochs=1)
train_dataloader.update(batch_size=2, num_workers=0, persistent_workers=False)
val_dataloader.update(batch_size=2, num_workers=0, persistent_workers=False)
"""
SLIM_CLASSIFIER = """
backbone['ratio'] = 4
model['head'].update(in_channels=256)
_base_.train_pipeline[1].scale = 32
_base_.test_pipeline[2].crop_size = 32
"""
SLIM_DETECTOR = """
backbone['interaction'] = dict(ratio=4)
model['neck'] = dict(in_channels=[32, 64, 128, 256], out_channels=256)
for pipeline in (_base_.train_pipeline, _base_.train_dataloader.dataset.pipeline):
    pipeline[2].scale = (64, 64)
for part in ('val', 'test'):
    _base_[f'{part}_dataloader'].dataset.pipeline[1].scale = (64, 64)
_base_.test_pipeline[1].scale = (64, 64)
"""
SLIM_HEAD = "model['roi_head']['bbox_head']['fc_out_channels'] = 8"


def write_image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))


def write_flowers():
    for part in ('train', 'val'):
        for name, kind in zip(NAMES, ('daisy', 'daisy', 'tulip', 'tulip')):
            write_image(Path('data/flowers', part, kind, f'{name}.jpg'))


def write_coco():
    x1, y1, x2, y2 = BOX
    images, boxes = [], []
    for i, name in enumerate(NAMES):
        write_image(Path(f'data/cells/images/{name}.jpg'))
        images.append(dict(id=i, file_name=f'{name}.jpg', width=64, height=64))
        box = dict(bbox=[x1, y1, x2 - x1, y2 - y1], area=900, iscrowd=0)
        boxes.append(dict(box, id=i, image_id=i, category_id=i % 3))
    categories = [dict(id=i, name=name) for i, name in enumerate(CLASSES)]
    for part in ('train', 'val'):
        content = dict(images=images, annotations=boxes, categories=categories)
        Path(f'data/cells/{part}.json').write_text(json.dumps(content))


def write_voc():
    corners = ''.join(f'<{k}>{v}</{k}>' for k, v in zip(('xmin', 'ymin', 'xmax', 'ymax'), BOX))
    for folder in ('ImageSets/Main', 'Annotations'):
        Path('data/cells', folder).mkdir(parents=True)
    for i, name in enumerate(NAMES):
        write_image(Path(f'data/cells/JPEGImages/{name}.jpg'))
        Path(f'data/cells/Annotations/{name}.xml').write_text(
            '<annotation><size><width>64</width><height>64</height></size>'
            f'<object><name>{CLASSES[i % 3]}</name><bndbox>{corners}</bndbox></object></annotation>'
        )
    for part in ('train', 'val'):
        Path(f'data/cells/ImageSets/Main/{part}.txt').write_text('\n'.join(NAMES))


TASKS = {
    'flowers': (write_flowers, SLIM_CLASSIFIER, 'accuracy/top1'),
    'cells_coco': (write_coco, SLIM_DETECTOR + SLIM_HEAD, 'coco/bbox_mAP'),
    'cells_voc': (write_voc, SLIM_DETECTOR, 'pascal_voc/mAP'),
}


def save_plain_trunk():
    plain = MODELS.build(dict(type='mmdia.ResNet', depth=50, base_channels=8, stem_channels=8))
    torch.save(plain.state_dict(), 'trunk.pth')


@pytest.mark.parametrize('task', TASKS)
def test_page(run_tool, task, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_data, slim, metric = TASKS[task]
    write_data()
    save_plain_trunk()
    Path(f'{task}.py').write_text(CONFIGS[f'{task}.py'] + SLIM + slim)
    commands = [(tool, args) for tool, args in COMMANDS if f'{task}.py' in args]
    assert [tool for tool, _ in commands] == ['train.py', 'test.py', 'image_demo.py']
    for tool, args in commands:
        said = run_tool(tool, *re.sub(r'epoch_\d+', 'epoch_1', args).split())
        assert tool == 'image_demo.py' or metric in said
    assert list(Path().rglob('shown/**/*.*g')) and list(Path('outputs').rglob('*.*g'))


def test_every_config_and_command_is_run():
    assert CONFIGS.keys() == {*(f'{task}.py' for task in TASKS), 'fast_gates.py'}
    assert len(CONFIGS) == PAGE.count('```python') and len(COMMANDS) == 3 * len(TASKS)


def test_learning_rates(tmp_path):
    for name in ('flowers.py', 'fast_gates.py'):
        (tmp_path / name).write_text(CONFIGS[name])
    cfg = Config.fromfile(tmp_path / 'fast_gates.py')
    init_default_scope('mmpretrain')
    cfg.model.backbone.pop('init_cfg')
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    for (name, parameter), group in zip(model.named_parameters(), groups, strict=True):
        assert group['params'][0] is parameter
        ours = name.startswith('backbone.layer') and '.interaction.' in name
        assert ('interaction' in name) == ours
        assert (group['lr'], group['weight_decay']) == ((1.0, 0.0) if ours else (0.1, 0.0001))
