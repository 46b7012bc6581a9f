"""Trunks of other libraries compute what they do there, on their weights.

Those in the configs of MMPretrain and MMDetection are in test_zoos.py, the wide ResNet is in
test_model_converters.py.
"""

import pytest
import timm
import torch
import torchvision
from mmdet.models import ResNetV1d

from mmdia.models import DIAResNet, ResNet

from ..helpers import randomize

RESNEXT = dict(groups=32, base_width=4)
DEEP_STEM = dict(deep_stem=True)
V1D = dict(deep_stem=True, avg_down=True)

# Our depth and arguments, and the same network elsewhere.
TRUNKS = {
    'torchvision resnet18': (18, {}, torchvision.models.resnet18),
    'torchvision resnet50': (50, {}, torchvision.models.resnet50),
    'torchvision resnext50_32x4d': (50, RESNEXT, torchvision.models.resnext50_32x4d),
    'timm resnet34': (34, {}, lambda: timm.create_model('resnet34')),
    'timm resnet50': (50, {}, lambda: timm.create_model('resnet50')),
    'timm resnext50_32x4d': (50, RESNEXT, lambda: timm.create_model('resnext50_32x4d')),
    'timm resnet50c': (50, DEEP_STEM, lambda: timm.create_model('resnet50c')),
    'timm resnet18d': (18, V1D, lambda: timm.create_model('resnet18d')),
    'timm resnet50d': (50, V1D, lambda: timm.create_model('resnet50d')),
    'mmdet ResNetV1d': (50, V1D, lambda: ResNetV1d(depth=50, norm_eval=False)),
}


def features(model, images):
    """The last feature map of a network of any of the libraries."""
    if hasattr(model, 'forward_features'):
        return model.forward_features(images)
    if not hasattr(model, 'fc'):
        return model(images)[-1]
    layers = [module for name, module in model.named_children() if name not in ('avgpool', 'fc')]
    return torch.nn.Sequential(*layers)(images)


@pytest.mark.parametrize('name', TRUNKS)
@torch.no_grad()
def test_state_dict_loads_and_output_is_equal(name, tmp_path):
    depth, args, build = TRUNKS[name]
    theirs = randomize(build()).double()
    theirs.eval()
    torch.save(theirs.state_dict(), tmp_path / 'trunk.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'trunk.pth'))
    ours = ResNet(depth, **args, init_cfg=init_cfg).double()
    ours.init_weights()
    images = torch.randn(1, 3, 33, 49, dtype=torch.float64)
    torch.testing.assert_close(
        ours.eval()(images)[0], features(theirs, images), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize('args', (RESNEXT, V1D, DEEP_STEM, {}), ids=str)
@torch.no_grad()
def test_interactions_start_from_any_pretrained_trunk(args, tmp_path):
    trunk = randomize(ResNet(50, base_channels=32, **args)).eval()
    torch.save(trunk.state_dict(), tmp_path / 'trunk.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'trunk.pth'))
    model = DIAResNet(50, base_channels=32, **args, identity_init=True, init_cfg=init_cfg)
    model.init_weights()
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(model.eval()(images)[0], trunk(images)[0])


def test_trunk_that_pools_is_refused_by_one_that_does_not(tmp_path):
    torch.save(timm.create_model('resnet50d').state_dict(), tmp_path / 'trunk.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'trunk.pth'))
    with pytest.raises(ValueError, match=r'layer1\.0\.downsample\.0\.weight: missing'):
        ResNet(50, deep_stem=True, init_cfg=init_cfg).init_weights()
