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
        # as MMEngine dumps classes
        (dict(model=dict(type='mmdet.models.RetinaNet'), default_scope=None), 'mmdet'),
        (dict(model=dict(type=f'{__name__}.OwnDetector')), 'mmdet'),
        (dict(model=dict(type='mmpretrain.models.ImageClassifier')), 'mmpretrain'),
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


@pytest.mark.parametrize('place', ('detector', 'reid', 'module.detector'))
def test_models_within_models(place, tmp_path):
    def model(backbone):
        text = f'dict(backbone={backbone})'
        for name in reversed(place.split('.')):
            text = f'dict({name}={text})'
        return f'model = {text}\n'

    (tmp_path / 'base.py').write_text(model("dict(type='ResNetV1d', depth=50)"))
    path = tmp_path / 'config.py'
    path.write_text("_base_ = './base.py'\n" + model("dict(type='mmdia.ResNet')"))
    with pytest.raises(SystemExit, match='in the place of ResNetV1d is another network'):
        load_config(str(path))
    path.write_text("_base_ = './base.py'\n" + model("dict(type='mmdia.ResNetV1d')"))
    assert load_config(str(path))


OTHERS = "backbone=dict(type='ResNetV1c', depth=50)"
DELETED = "_base_ = './base.py'\nmodel = dict(backbone=dict({}))\n"
LAZY = """
from mmengine.config import read_base
with read_base():
    from .{base} import *
from mmdia.models import {ours}
model.update(dict(backbone=dict(type={ours})))
"""
SAME = {
    'deleted, last': DELETED.format("type='mmdia.DIAResNet', depth=50, _delete_=True"),
    'deleted, between': DELETED.format("type='mmdia.DIAResNet', _delete_=True, depth=50"),
    'deleted, in front': DELETED.format("_delete_ = True, depth=50, type='mmdia.DIAResNet'"),
    'deleted, a dict': "_base_ = './base.py'\nmodel = dict(backbone={'_delete_': True, "
    "'type': 'mmdia.DIAResNet'})\n",
    'deleted, the model': "_base_ = './base.py'\n"
    "model = dict(_delete_=True, backbone=dict(type='mmdia.DIAResNet', depth=50))\n",
    'of a teacher': f"model = dict(teacher=dict({OTHERS}), backbone=dict(type='mmdia.DIAResNet'))",
    'a comment': f"# {OTHERS}\nmodel = dict(backbone=dict(type='mmdia.DIAResNet'))",
    'classes, the same': LAZY.format(base='classes', ours='ResNetV1d'),
    'classes, anew': LAZY.format(base='classes', ours='DIAResNet')
    + 'model.backbone = dict(type=DIAResNet)',
}
OTHER = {
    'names': DELETED.format("type='mmdia.DIAResNet'"),
    'names, deleted elsewhere': DELETED.format("type='mmdia.DIAResNet'")
    + "optim_wrapper = dict(_delete_=True, type='OptimWrapper')",
    'classes': LAZY.format(base='classes', ours='DIAResNet'),
    'classes, two files back': LAZY.format(base='between', ours='DIAResNet'),
}


@pytest.mark.parametrize('kind', (*SAME, *OTHER))
def test_ways_to_replace_a_backbone(kind, tmp_path):
    (tmp_path / 'base.py').write_text(f'model = dict({OTHERS})\noptim_wrapper = dict()\n')
    (tmp_path / 'classes.py').write_text(
        'from mmpretrain.models import ImageClassifier, ResNetV1d\n'
        'model = dict(type=ImageClassifier, backbone=dict(type=ResNetV1d, depth=50))\n'
    )
    (tmp_path / 'between.py').write_text(
        'from mmengine.config import read_base\nwith read_base():\n    from .classes import *\n'
    )
    path = tmp_path / 'config.py'
    path.write_text({**SAME, **OTHER}[kind])
    if kind in SAME:
        assert load_config(str(path)).model.backbone.type
    else:
        with pytest.raises(SystemExit, match=r'mmdia\.DIAResNet in the place of ResNetV1[cd] is'):
            load_config(str(path))
