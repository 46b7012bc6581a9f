"""FLOPs of interactions, against counts by hand."""

import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from mmdia.models import ResNet
from mmdia.registry import MODELS
from mmdia.results.complexity import count_flops, measure_complexity
from mmdia.results.rows import read_config

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(Path(__file__).parents[2] / 'tools' / 'analysis_tools')
    import get_flops

FPN = dict(in_channels=[8, 16, 32, 64], out_channels=8, num_outs=5)
HEAD = dict(type='FCOSHead', num_classes=1, in_channels=8, feat_channels=8, norm_cfg=None)
# (C, H * W) of the stages of a ResNet of width 8 on 64 x 64 pixels, with two blocks each.
STAGES = ((8, 16**2), (16, 8**2), (32, 4**2), (64, 2**2))


def se(channels, pixels):
    """Two linear layers of ratio 4; mean, gate and gated sum."""
    return 2 * (channels * channels // 4 * 2 + 3 * channels * pixels)


def dia(channels, pixels):
    """Two bottlenecks to four gates, four products of vectors; mean and gated sum."""
    linear = 2 * (channels // 4 * channels + channels // 4 * 4 * channels)
    return 2 * (linear + 4 * channels + 2 * channels * pixels)


def mrla_base(channels, pixels):
    """Attention to one map in the first block, to two in the second."""
    query_and_key = 2 * 3 * channels  # convolutions of 3 over the channels
    value, mean, norm, scale = 9, 1, 2, 1
    of_maps = (value + mean + norm + scale) * channels * pixels
    scores = 2 * channels  # products and their sum, for each map
    each_map = scores + channels * pixels
    return 2 * (query_and_key + of_maps) + (1 + 2) * each_map


@pytest.mark.parametrize(
    ('interaction', 'expected'),
    (
        (dict(type='mmdia.BlockAttention', attention=dict(type='mmdia.SE', ratio=4)), se),
        (dict(type='mmdia.DIALSTM', ratio=4), dia),
        (dict(type='mmdia.MRLABase', head_channels=8), mrla_base),
    ),
    ids=('se', 'dia', 'mrla_base'),
)
def test_flops_of_an_interaction(interaction, expected):
    plain, attended = (
        count_flops(ResNet(18, cfg, base_channels=8, stem_channels=8).eval(), 64)
        for cfg in (None, interaction)
    )
    assert attended - plain == sum(expected(*stage) for stage in STAGES)


def test_flops_of_a_plain_network():
    stem = 49 * 3 * 8 * 32**2
    norms = 2 * 8 * 32**2
    for number, (channels, pixels) in enumerate(STAGES):
        before = channels if number == 0 else channels // 2
        convs = 9 * channels * (before + 3 * channels)
        projection = 0 if number == 0 else channels * before + 2 * channels
        stem += pixels * (convs + projection)
        norms += 4 * 2 * channels * pixels
    assert count_flops(ResNet(18, base_channels=8, stem_channels=8).eval(), 64) == stem + norms


def test_tool(monkeypatch, capsys):
    names = ['resnet18-w16_b128-20e_cifar100', 'dia-resnet18-w16_b128-20e_cifar100']
    monkeypatch.setattr(sys, 'argv', ['get_flops.py', *names, '--image-size', '32'])
    get_flops.main()
    rows = [line.strip('| \n').split(' | ') for line in capsys.readouterr().out.splitlines()]
    assert [row[:2] for row in rows[2:]] == [[names[0], '0.713'], [names[1], '0.770']]
    assert float(rows[3][2]) > float(rows[2][2]) > 0.03
    monkeypatch.setattr(sys, 'argv', ['get_flops.py', 'resnet19'])
    with pytest.raises(SystemExit, match='config resnet19 cannot be read'):
        get_flops.main()


def test_detectors_within_other_models():
    backbone = dict(type='mmdia.ResNet', depth=18, base_channels=8)
    detector = dict(type='FCOS', backbone=backbone, neck=dict(type='FPN', **FPN), bbox_head=HEAD)
    tracker = dict(type='QDTrack', detector=detector)
    teacher = dict(type='SoftTeacher', detector=detector, semi_train_cfg=dict())
    expected = measure_complexity(Config(dict(default_scope='mmdet', model=detector)), 64).flops
    assert expected > 0
    for model in (tracker, teacher):
        cfg = Config(dict(default_scope='mmdet', model=model))
        assert measure_complexity(cfg, 64).flops == expected


def test_classifiers_count_with_their_heads():
    cfg = read_config('small/resnet18-w16_b128-20e_cifar100.py')
    backbone = count_flops(MODELS.build(cfg.model.backbone).eval(), 32)
    pooled, classes = 128 * 4 * 4, 100
    assert measure_complexity(cfg, 32).flops == backbone + pooled + 128 * classes
