"""What configs are for, and what a backbone of ours replaces in them."""

import pytest
from mmdet.models import RetinaNet
from mmengine.config import Config, ConfigDict
from mmpretrain.models import ImageClassifier

from mmdia.cli.command_line import load_config
from mmdia.utils.configs import is_detection, is_segmentation, scope_of


class OwnDetector(RetinaNet):
    pass


@pytest.mark.parametrize(
    ('cfg', 'scope'),
    (
        (dict(model=dict(type=RetinaNet), default_scope=None), 'mmdet'),
        (dict(model=dict(type=OwnDetector)), 'mmdet'),
        (dict(model=dict(type=ImageClassifier)), 'mmpretrain'),
        (dict(model=dict(type='RetinaNet'), default_scope='mmdet'), 'mmdet'),
        (dict(model=dict(type='ImageClassifier'), default_scope='mmpretrain'), 'mmpretrain'),
        (dict(model=dict(type='mmdet.RetinaNet'), default_scope='mmrotate'), 'mmrotate'),
        (dict(model=dict(type='EncoderDecoder'), default_scope='mmseg'), 'mmseg'),
    ),
)
def test_library_of_configs_of_names_and_of_classes(cfg, scope):
    cfg = ConfigDict(cfg)
    assert scope_of(cfg) == scope
    assert is_detection(cfg) == (scope in ('mmdet', 'mmrotate'))
    assert is_segmentation(cfg) == (scope == 'mmseg')


BASES = {
    'resnet/resnet18_8xb16_cifar10.py': ('ResNet_CIFAR', 'small_stem', 'small_stem=True'),
    'resnet/resnetv1d50_8xb32_in1k.py': (
        'ResNetV1d',
        'deep_stem and avg_down',
        'deep_stem=True, avg_down=True',
    ),
    'seresnet/seresnet50_8xb32_in1k.py': (
        'SEResNet',
        'interaction',
        "interaction=dict(type='mmdia.RLA')",
    ),
}


@pytest.mark.parametrize('base', BASES)
def test_silent_change_of_the_network_is_refused(base, tmp_path):
    name, missing, said = BASES[base]

    def load(backbone):
        path = tmp_path / 'config.py'
        path.write_text(f'_base_ = "mmpretrain::{base}"\nmodel = dict(backbone=dict({backbone}))\n')
        return load_config(str(path))

    with pytest.raises(SystemExit, match=f"write type='mmdia.{name}' .* or say its {missing}"):
        load("type='mmdia.ResNet'")
    for backbone in (
        f"type='mmdia.{name}'",
        f"type='mmdia.ResNet', {said}",
        "_delete_=True, type='mmdia.ResNet', depth=18",
    ):
        assert isinstance(load(backbone), Config)
