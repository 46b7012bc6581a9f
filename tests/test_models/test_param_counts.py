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
    ('interaction', 'expected'),
    (
        # N = 64, 128, 256, r = 4, as in the papers' CIFAR networks. DIANet, Tables 3, 6 and 7:
        # 1.95 M, 3.33 M, and 1.94, 1.90, 1.78 M, less the 1,727,284 of the plain ResNet-164
        (dict(type='mmdia.DIALSTM'), 1_946_132 - 1_727_284),
        (dict(type='mmdia.DIALSTM', num_cells=3), 3_329_556 - 1_727_284),
        (dict(type='mmdia.DIALSTM', stages=(False, True, True)), 1_935_348 - 1_727_284),
        (dict(type='mmdia.DIALSTM', stages=(True, False, True)), 1_904_084 - 1_727_284),
        (dict(type='mmdia.DIALSTM', stages=(True, True, False)), 1_780_116 - 1_727_284),
        # Layer-wise Shared Attention, Table 4: 1.75 M
        (dict(type='mmdia.DIALSTMLight'), 1_754_276 - 1_727_284),
        # Dynamic Layer Attention, Table 6: 1.31, 0.83, 0.79 M, less the 614,452 of ResNet-56
        (dict(type='mmdia.LII', cell=dict(type='mmdia.LSTMCell')), 1_306_164 - 614_452),
        (dict(type='mmdia.LII', cell=dict(type='mmdia.DIACell', ratio=4)), 833_300 - 614_452),
        (dict(type='mmdia.LII', cell=dict(type='mmdia.DSUCell', ratio=4)), 789_396 - 614_452),
    ),
    ids=str,
)
def test_recurrent_gates_add(interaction, expected):
    args = dict(base_channels=16, num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1))
    if interaction['type'] == 'mmdia.DIALSTM':
        interaction = dict(interaction, ratio=4)
    for depth in (50, 101):
        with torch.device('meta'):
            added = count(ResNet(depth, interaction, **args)) - count(ResNet(depth, **args))
        # Shared by all blocks of a stage, whatever their number
        assert added == expected


def test_dsu_of_the_equations():
    # Dynamic Layer Attention, Table 2: 27.2 M
    cell = dict(type='mmdia.DSUCell', ratio=20, fusion='concat')
    with torch.device('meta'):
        model = ResNet(50, dict(type='mmdia.DLALight', cell=cell))
    assert count(model) + 2048 * 1000 + 1000 == 27_169_492


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
