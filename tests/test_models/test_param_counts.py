"""Parameter counts are those of the papers' tables."""

import pytest
import torch
from mmdet.registry import MODELS as MMDET_MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS as MMPRETRAIN_MODELS

import mmdia
from mmdia.models import DIAResNet, ResNet, build_interaction

DSU_OF_THE_EQUATIONS = dict(type='mmdia.DSUCell', ratio=4, fusion='concat', initial_memory='random')


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


@pytest.mark.parametrize(
    ('interaction', 'expected'),
    (
        # Dynamic Layer Attention, Table 1, depth 20 (bottlenecks, two a stage), CIFAR-10, less the
        # 220,378 of the plain network: MRLA-B 0.23 M, DLA-B 0.41 M, MRLA-L 0.23 M, DLA-L 0.41 M
        (dict(type='mmdia.MRLABase'), 230_286 - 220_378),
        (dict(type='mmdia.DLABase', ratio=4), 405_230 - 220_378),
        (dict(type='mmdia.MRLALight'), 231_182 - 220_378),
        (dict(type='mmdia.DLALight', ratio=4), 410_158 - 220_378),
        (dict(type='mmdia.DLALight', ratio=4, excite=False), 406_126 - 220_378),
        # By arithmetic: a block has no query and key of k = 3, 5, 5 taps
        (
            dict(type='mmdia.MRLALight', previous='attention', weighting='softmax'),
            231_182 - 220_378 - 2 * 2 * (3 + 5 + 5),
        ),
        # The equations. A cell of 5 C^2 / r + 3 C, and C of the first c; a block has 9 C of its
        # value, 2 C of its norm, and C of lambda or 2 k of query and key
        (
            dict(
                type='mmdia.DLALight',
                cell=DSU_OF_THE_EQUATIONS,
                gate='memory',
                excite=False,
                previous='attention',
                weighting='softmax',
            ),
            sum(5 * c * c // 4 + 4 * c + 2 * 12 * c for c in (64, 128, 256)),
        ),
        (
            dict(
                type='mmdia.DLABase',
                cell=DSU_OF_THE_EQUATIONS,
                gate='memory',
                renewed='features',
            ),
            sum(
                5 * c * c // 4 + 4 * c + 2 * (11 * c + 2 * k)
                for c, k in ((64, 3), (128, 5), (256, 5))
            ),
        ),
    ),
    ids=str,
)
def test_layer_attention_adds(interaction, expected):
    with torch.device('meta'):
        added = sum(count(build_interaction(interaction, c, 2)) for c in (64, 128, 256))
    assert added == expected


@pytest.mark.parametrize(
    ('args', 'expected'),
    (
        # Recurrent Layer Attention, Tables 1 and 2, depth 56 (nine blocks a stage), less the
        # 862,490 of the plain network: 0.864, 0.876, 0.871 and 0.870 M
        (dict(hidden_channels=4, ratio=1), 863_773 - 862_490),
        (dict(hidden_channels=4, ratio=1, context='gmp'), 863_773 - 862_490),
        (dict(hidden_channels=32, ratio=16, gate='vector'), 875_744 - 862_490),
        (dict(hidden_channels=4, ratio=1, context='gap+mlp'), 870_892 - 862_490),
        (
            dict(hidden_channels=4, ratio=1, attention=dict(type='mmdia.SE', bias=False)),
            869_821 - 862_490,
        ),
    ),
    ids=str,
)
def test_rla_adds(args, expected):
    cfg = dict(type='mmdia.RLA', context_channels=32, **args)
    with torch.device('meta'):
        assert count(build_interaction(cfg, (16, 32, 64), (9, 9, 9))) == expected


@pytest.mark.parametrize(
    ('cell', 'expected'),
    (
        # Dynamic Layer Attention, Table 4, depth 110 (twelve blocks a stage), CIFAR-100, less the
        # 1,170,868 of the plain network: 1.41, 1.93, 1.46 M
        (dict(type='mmdia.RNNCell'), 1_412_652 - 1_170_868),
        (dict(type='mmdia.LSTMCell'), 1_931_436 - 1_170_868),
        (dict(type='mmdia.DIACell', ratio=4), 1_458_572 - 1_170_868),
    ),
    ids=str,
)
def test_dynamic_attention_with_other_cells_adds(cell, expected):
    cfg = dict(type='mmdia.DLALight', cell=cell)
    with torch.device('meta'):
        added = sum(count(build_interaction(cfg, c, 12)) for c in (64, 128, 256))
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
