"""mmdia's types and configs are found without any import of it in a config.

So they are in a fresh process, too: test_config_of_another_library in test_loader.py.
"""

import subprocess
import sys

import pytest
import torch
from mmengine import registry
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import DefaultScope

import mmdia
from mmdia.apis import list_interactions
from mmdia.models import LayerInteraction, ResNet
from mmdia.registry import MODELS


@pytest.mark.parametrize(
    ('scopes', 'expected'),
    (
        ((), ['mmpretrain', 'mmdet']),
        (('mmdet',), ['mmdet']),
        (('mmpretrain', 'mmdet'), ['mmdet', 'mmpretrain']),
        (('mmdet', 'mmdia'), ['mmdet']),
        (('no_such_library',), []),
    ),
)
def test_scopes_around_ours(scopes, expected):
    """The nearest first; libraries that nothing names only where nothing is around."""
    for scope in scopes:
        DefaultScope.get_instance(scope, scope_name=scope)
    assert [registry.scope for registry in MODELS.surrounding()] == expected


@pytest.mark.parametrize('library', ('mmpretrain', 'mmdet'))
def test_types_of_a_base_of_ours(library):
    """Names that MMCV and both libraries have are those of the library that builds."""
    registry.init_default_scope(library)
    for name in ('RandomFlip', 'Resize', 'LoadImageFromFile', 'Normalize'):
        expected = registry.TRANSFORMS.get(f'{library}.{name}' if name != 'Normalize' else name)
        with registry.TRANSFORMS.switch_scope_and_registry('mmdia') as ours:
            assert ours.scope == 'mmdia' and ours.get(name) is expected
    with registry.MODELS.switch_scope_and_registry('mmdia') as ours:
        assert ours.get('ResNet') is ResNet and ours.get('BN') is torch.nn.BatchNorm2d
        assert ours.get('NoSuchLayer') is None


def test_configs_inherit_from_mmdia(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text(
        "_base_ = 'mmdia::dia/dia-resnet50_8xb32_in1k.py'\nmodel = dict(backbone=dict(depth=101))"
    )
    backbone = Config.fromfile(path).model.backbone
    assert backbone.type == 'mmdia.DIAResNet' and backbone.depth == 101


def test_get_config():
    cfg = get_config('mmdia::dla/faster-rcnn_dla-l-r50_fpn_1x_coco.py')
    assert cfg.model.backbone.interaction.type == 'mmdia.DLALight'


def test_list_interactions_follows_the_registry():
    names = list_interactions()
    assert {'mmdia.LayerInteraction', 'mmdia.DIALSTM', 'mmdia.DLALight', 'mmdia.RLA'} <= set(names)
    assert all(issubclass(MODELS.get(name), LayerInteraction) for name in names)

    @MODELS.register_module(name='MyInteraction')
    class MyInteraction(LayerInteraction):
        pass

    try:
        assert set(list_interactions()) == {*names, 'mmdia.MyInteraction'}
    finally:
        MODELS.module_dict.pop('MyInteraction')


def test_import_is_light():
    code = """
import sys
import mmdia
assert not {'torch', 'mmdet', 'mmcv'} & sys.modules.keys()
import mmcv.cnn, mmengine.runner
compiler = 'torch._dynamo' in sys.modules  # a quarter of the time of all imports
import mmdia.models, mmdia.engine
assert ('torch._dynamo' in sys.modules) == compiler
"""
    subprocess.run([sys.executable, '-c', code], check=True, timeout=120)
    assert mmdia.__version__
