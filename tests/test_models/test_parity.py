"""The plain network is the ResNet of the other libraries."""

import pytest
import torch
import torchvision
from mmdet.models import ResNet as MMDetResNet
from mmpretrain.models import ResNet as MMPretrainResNet

from mmdia.models import ResNet

from ..helpers import DEPTHS, INTERACTIONS, randomize

TORCHVISION = {
    18: torchvision.models.resnet18,
    34: torchvision.models.resnet34,
    50: torchvision.models.resnet50,
    101: torchvision.models.resnet101,
    152: torchvision.models.resnet152,
}
ALL_LEVELS = dict(out_indices=(0, 1, 2, 3))


@pytest.mark.parametrize('style', ('pytorch', 'caffe'))
@pytest.mark.parametrize('depth', (18, 34, 50, 101))
@torch.no_grad()
def test_output_is_bit_identical(depth, style):
    ours = randomize(ResNet(depth, style=style, **ALL_LEVELS)).eval()
    for theirs_class in (MMPretrainResNet, MMDetResNet):
        theirs = theirs_class(depth, style=style, **ALL_LEVELS)
        theirs.eval()
        theirs.load_state_dict(ours.state_dict())
        images = torch.randn(1, 3, 65, 97)
        for our_level, their_level in zip(ours(images), theirs(images), strict=True):
            assert torch.equal(our_level, their_level)


@torch.no_grad()
def test_dilated_stages_are_bit_identical():
    args = dict(strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4), **ALL_LEVELS)
    ours = randomize(ResNet(50, **args)).eval()
    theirs = MMPretrainResNet(50, **args)
    theirs.eval()
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(1, 3, 65, 97)
    for our_level, their_level in zip(ours(images), theirs(images), strict=True):
        assert torch.equal(our_level, their_level)


# Depths differ in nothing that interactions see but the kind of block.
@pytest.mark.parametrize(
    ('depth', 'interaction'),
    [(d, i) for d in TORCHVISION for i in INTERACTIONS if d in DEPTHS or i == 'mmdia.DIALSTM'],
)
def test_names_and_shapes_are_those_of_torchvision(depth, interaction):
    with torch.device('meta'):
        ours = ResNet(depth, dict(type=interaction)).state_dict()
        theirs = TORCHVISION[depth]().state_dict()
    trunk = {k: v.shape for k, v in ours.items() if 'interaction' not in k.split('.')}
    assert trunk == {k: v.shape for k, v in theirs.items() if not k.startswith('fc.')}


@pytest.mark.parametrize('depth', (50, 101, 152))
def test_layer_depths_are_those_of_mmpretrain(depth):
    with torch.device('meta'):
        ours, theirs = ResNet(depth), object.__new__(MMPretrainResNet)
    theirs.__dict__['stage_blocks'] = ours.stage_blocks
    for name in [*(f'backbone.{key}' for key in ours.state_dict()), 'head.fc.weight']:
        expected = theirs.get_layer_depth(name, 'backbone.')
        assert ours.get_layer_depth(name, 'backbone.') == expected
