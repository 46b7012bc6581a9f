"""Parameter counts are those of the papers' tables."""

import pytest
import torch
from mmdet.registry import MODELS as MMDET_MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS as MMPRETRAIN_MODELS

import mmdia
from mmdia.models import DIAResNet, ResNet


def count(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ('depth', 'ratio', 'expected'),
    # DIANet, Table 3, ImageNet: the rows' totals less those of the plain networks
    ((34, 20, 176_092), (50, 20, 2_801_020), (152, 10, 5_579_004)),
)
def test_dia_adds(depth, ratio, expected):
    with torch.device('meta'):
        assert count(DIAResNet(depth, ratio=ratio)) - count(ResNet(depth)) == expected


@pytest.mark.parametrize(
    ('backbone', 'channels', 'expected'),
    (
        (dict(type='mmdia.ResNet', depth=50), 2048, 25_557_032),
        # Dynamic Layer Attention, Table 2
        (dict(type='mmdia.DLAResNet', depth=50, ratio=16), 2048, 28_581_812),
        (dict(type='mmdia.DLAResNet', depth=101, ratio=16), 2048, 47_783_006),
        (
            dict(type='mmdia.ResNet', depth=50, interaction=dict(type='mmdia.MRLALight')),
            2048,
            25_738_452,
        ),
        (
            dict(type='mmdia.ResNet', depth=101, interaction=dict(type='mmdia.MRLALight')),
            2048,
            44_939_646,
        ),
        # Recurrent Layer Attention, Table 2
        (dict(type='mmdia.RLAResNet', depth=18), 512, 11_903_792),
        (dict(type='mmdia.RLAResNet', depth=50), 2048, 28_970_040),
        (dict(type='mmdia.RLAResNet', depth=101), 2048, 48_241_801),
    ),
)
def test_classifier(backbone, channels, expected):
    cfg = dict(
        type='ImageClassifier',
        backbone=backbone,
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=1000, in_channels=channels),
    )
    init_default_scope('mmpretrain')
    with torch.device('meta'):
        assert count(MMPRETRAIN_MODELS.build(cfg)) == expected


def test_faster_rcnn():
    # Dynamic Layer Attention, Table 3
    name = f'{mmdia.__path__[0]}/.mim/configs/dla/faster-rcnn_dla-l-r50_fpn_1x_coco.py'
    init_default_scope('mmdet')
    assert count(MMDET_MODELS.build(Config.fromfile(name).model)) == 44_208_392
