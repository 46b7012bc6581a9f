"""docs/other_libraries.md, from start to end: its configs and commands on tiny data, as they stand."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from .test_your_data import ROOT, run, save_plain_trunk, write_image  # noqa: F401

PAGE = (ROOT / 'docs' / 'other_libraries.md').read_text(encoding='utf-8')
CONFIGS = dict(re.findall(r'`(\w+\.py)`:\n\n```python\n(.*?)^```$', PAGE, re.M | re.S))
COMMANDS = re.findall(r'^python tools/(\w+\.py) (.*)$', PAGE, re.M)
(EXAMPLE,) = re.findall(r'^```python\n(import .*?)^```$', PAGE, re.M | re.S)
NAMES = ('a', 'b', 'c', 'd')
CORNERS = '10 20 40 20 40 50 10 50'
# Added to the configs: narrow networks on small images, for a few iterations.
SLIM = """
model['backbone'].update(
    base_channels=8,
    stem_channels=8,
    init_cfg=dict(type='Pretrained', checkpoint='trunk.pth'),
)
for loader in (train_dataloader, val_dataloader):
    loader.update(batch_size=2, num_workers=0, persistent_workers=False)
"""
SLIM_SEGMENTATION = """
model.update(pretrained=None, data_preprocessor=dict(size=(64, 64)))
model['backbone']['interaction']['ratio'] = 4
model['decode_head'].update(in_channels=256, c1_in_channels=32, channels=16, c1_channels=8)
model['auxiliary_head'].update(in_channels=128, channels=8)
_base_.train_pipeline[2].update(scale=(64, 64), ratio_range=(1.0, 1.0))
_base_.train_pipeline[3].crop_size = (64, 64)
_base_.test_pipeline[1].scale = (64, 64)
_base_.tta_pipeline[1].transforms[0] = _base_.tta_pipeline[1].transforms[0][:1]
train_cfg = dict(max_iters=4, val_interval=4)
default_hooks = dict(checkpoint=dict(interval=2))
"""
SLIM_ROTATED = """
model['neck'] = dict(in_channels=[32, 64, 128, 256], out_channels=8)
model['bbox_head'].update(in_channels=8, feat_channels=8, stacked_convs=1)
model['test_cfg'] = dict(score_thr=0.0, max_per_img=10)
for pipeline, step in ((_base_.train_dataloader.dataset.pipeline, 3), (_base_.val_dataloader.dataset.pipeline, 1)):
    pipeline[step].scale = (64, 64)
_base_.test_dataloader.dataset.pipeline[1].scale = (64, 64)
train_cfg = dict(max_epochs=1)
"""


def write_fruit():
    for part in ('train', 'val'):
        Path('data/fruit/masks', part).mkdir(parents=True)
        for name in NAMES:
            write_image(Path('data/fruit/images', part, f'{name}.jpg'))
            mask = np.zeros((64, 64), np.uint8)
            mask[10:30] = 1
            mask[40:60, 40:60] = 2
            mask[:5] = 255
            cv2.imwrite(f'data/fruit/masks/{part}/{name}.png', mask)


def write_harbors():
    for part in ('train', 'val'):
        Path('data/harbors', part, 'annfiles').mkdir(parents=True)
        for name in NAMES:
            write_image(Path('data/harbors', part, 'images', f'{name}.png'))
            lines = f'{CORNERS} ship 0\n{CORNERS} crane 1\n'
            Path(f'data/harbors/{part}/annfiles/{name}.txt').write_text(lines)
