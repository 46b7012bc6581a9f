"""Attentions have as many parameters as the papers' tables say."""

import pytest
import torch

from mmdia.models import BlockAttention, NonLocal, ResNet, SharedAttention
from mmdia.models.attentions import build_attention


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ('name', 'args', 'channels', 'expected'),
    (
        ('mmdia.SE', dict(), 256, 2 * 256 * 16 + 16 + 256),
        ('mmdia.SE', dict(bias=False), 256, 2 * 256 * 16),
        ('mmdia.ECA', dict(), 64, 3),
        ('mmdia.ECA', dict(), 128, 5),
        ('mmdia.ECA', dict(), 256, 5),
        ('mmdia.ECA', dict(), 512, 5),
        ('mmdia.ECA', dict(), 1024, 5),
        ('mmdia.ECA', dict(), 2048, 7),
        ('mmdia.ECA', dict(kernel_size=9), 64, 9),
        ('mmdia.CBAM', dict(), 256, 2 * 256 * 16 + 16 + 256 + 98),
        ('mmdia.CBAM', dict(bias=False), 256, 2 * 256 * 16 + 98),
        ('mmdia.SRM', dict(), 256, 4 * 256),
        ('mmdia.SPA', dict(), 256, 22 * 256 * 16),
        ('mmdia.SPA', dict(ratio=4), 256, 22 * 256 * 64),
        ('mmdia.SGE', dict(), 256, 2 * 64),
        ('mmdia.SEM', dict(), 256, 2 * 256 * 16 + 16 + 256 + 2 * 256 + 5 + 3 * 256 + 3),
        ('mmdia.SPEM', dict(), 256, 4 * 256 + 2),
    ),
)
def test_parameters_of_a_block(name, args, channels, expected):
    with torch.device('meta'):
        assert count(build_attention(dict(type=name, **args), channels)) == expected


@pytest.mark.parametrize(
    ('depth', 'expected'),
    # Recurrent Layer Attention, Table 2; Dynamic Layer Attention, Table 2
    ((18, 11_778_592), (50, 28_088_024), (101, 49_326_872)),
)
def test_parameters_of_senet(depth, expected):
    with torch.device('meta'):
        model = ResNet(depth, dict(type='mmdia.BlockAttention'))
    assert count(model) + 1000 * (model.block.expansion * 512 + 1) == expected


# Layer-wise Shared Attention, Table 4, CIFAR-10: parameters of the plain network,
# blocks a stage, channels of the stages
RESNET164 = (1_704_154, 18, (64, 128, 256))
WRN52 = (12_049_370, 8, (64, 128, 256))
RESNEXT101 = (32_092_074, 11, (128, 256, 512))


@pytest.mark.parametrize(
    ('network', 'attention', 'expected'),
    (
        (RESNET164, dict(type='mmdia.SE'), 1_906_258),
        (RESNET164, dict(type='mmdia.ECA'), 1_704_388),
        (RESNET164, dict(type='mmdia.CBAM'), 1_911_550),
        (RESNET164, dict(type='mmdia.SRM'), 1_736_410),
        (RESNET164, dict(type='mmdia.SEM'), 1_946_974),
        # two numbers a block more than the 4 C of the table's other rows
        (RESNET164, dict(type='mmdia.SPEM'), 1_736_410 + 2 * 54),
        (WRN52, dict(type='mmdia.SE', ratio=4), 12_397_914),
        (WRN52, dict(type='mmdia.ECA'), 12_049_474),
        (WRN52, dict(type='mmdia.SRM'), 12_063_706),
        (WRN52, dict(type='mmdia.SPA'), 12_995_546),
        (WRN52, dict(type='mmdia.SEM', ratio=4), 12_416_010),
        (RESNEXT101, dict(type='mmdia.SE', ratio=4, bias=False), 33_984_426),
        (RESNEXT101, dict(type='mmdia.ECA'), 32_092_239),
        (RESNEXT101, dict(type='mmdia.CBAM', bias=False), 32_568_396),
        (RESNEXT101, dict(type='mmdia.SRM'), 32_131_498),
        (RESNEXT101, dict(type='mmdia.SPA', ratio=4), 52_907_946),
    ),
)
def test_parameters_of_cifar_networks(network, attention, expected):
    plain, num_blocks, stages = network
    with torch.device('meta'):
        added = sum(count(BlockAttention(c, num_blocks, attention=attention)) for c in stages)
    assert plain + added == expected


def test_parameters_of_shared_se():
    # DIANet, Table 1: DIA-SE, CIFAR-100
    with torch.device('meta'):
        added = sum(count(SharedAttention(c, 18)) for c in (64, 128, 256))
    assert 1_727_284 + added == 1_738_512


@pytest.mark.parametrize(('num_blocks', 'printed'), ((18, 94.4), (9, 88.9)))
@pytest.mark.parametrize('name', ('SE', 'ECA', 'CBAM', 'SRM', 'SPA'))
def test_what_sharing_saves(name, num_blocks, printed):
    # Layer-wise Shared Attention, section 4.1: ResNet164 and ResNet83; SRM "about 40 %"
    def saved(**kwargs):
        with torch.device('meta'):
            own = sum(count(BlockAttention(c, num_blocks, **kwargs)) for c in (64, 128, 256))
            one = sum(count(SharedAttention(c, num_blocks, **kwargs)) for c in (64, 128, 256))
        return 100 * (1 - one / own)

    attention = dict(type=f'mmdia.{name}')
    if name == 'SRM':
        # 2 C of weights are shared, 2 C of a norm are not
        assert saved(attention=attention) == pytest.approx(50 * (1 - 1 / num_blocks))
    else:
        assert round(saved(attention=attention), 1) == printed


def test_parameters_of_shared_norms():
    with torch.device('meta'):
        attention = SharedAttention(64, 18, dict(type='mmdia.SRM'), share_norms=True)
    assert count(attention) == 4 * 64


@pytest.mark.parametrize(('depth', 'printed'), ((50, 46.5), (101, 65.5)))
def test_parameters_of_mask_rcnn_with_a_non_local_module(depth, printed):
    # Dynamic Layer Attention, Table 3: all parameters, with one module in stage 3
    plain = {50: 44_170_992, 101: 63_163_120}[depth]  # those that are trained
    frozen = 225_344  # stem and first stage
    with torch.device('meta'):
        module = count(NonLocal(1024))
    assert module == 4 * 1024 * 512 + 3 * 512 + 1024
    assert round((plain + frozen + module) / 1e6, 1) == printed
