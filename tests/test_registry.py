"""mmdia's types and configs are found without any import of it in a config."""

import subprocess
import sys

import pytest
from mmengine.config import Config
from mmengine.hub import get_config

import mmdia
from mmdia.apis import list_interactions
from mmdia.models import LayerInteraction
from mmdia.registry import MODELS


@pytest.mark.parametrize('library', ('mmpretrain', 'mmdet'))
def test_backbone_builds_from_the_scope_of_either_library(library):
    code = f"""
from mmengine.registry import DefaultScope, MODELS
from {library}.registry import MODELS as LIBRARY_MODELS
DefaultScope.get_instance('test', scope_name='{library}')
for models in (MODELS, LIBRARY_MODELS):
    model = models.build(dict(type='mmdia.DIAResNet', depth=18, ratio=4))
    assert type(model).__module__ == 'mmdia.models.backbones.named'
model = LIBRARY_MODELS.build(
    dict(type='mmdia.ResNet', depth=18, interaction=dict(type='RLA')))
assert type(model.interaction).__name__ == 'RLA'
"""
    subprocess.run([sys.executable, '-c', code], check=True, timeout=120)


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
    code = "import sys, mmdia; sys.exit(any(m in sys.modules for m in ('torch', 'mmdet', 'mmcv')))"
    subprocess.run([sys.executable, '-c', code], check=True, timeout=60)
    assert mmdia.__version__
