"""Our models by name: in mmdia's own functions, in MMPretrain's, and in MMDetection's."""

import re
import subprocess
import sys
from collections import OrderedDict
from hashlib import sha256
from pathlib import Path

import cv2
import mmengine.hub
import mmpretrain
import numpy as np
import pytest
import torch
from mmdet.apis import DetInferencer, inference_detector, init_detector
from mmengine.config import Config
from mmengine.fileio import dump
from mmengine.hub import get_config
from mmengine.infer.infer import BaseInferencer
from mmengine.registry import DefaultScope
from mmpretrain.apis import model as hub

from mmdia.apis import get_model, list_models
from mmdia.checkpoints import UnsafeCheckpointError, index
from mmdia.checkpoints.cache import WEIGHTS
from mmdia.hub import TASKS, add_to_mmpretrain
from mmdia.models import ResNet

from ..test_checkpoints.test_reader import Call

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs'
CLASSIFIER = 'dia-resnet50_8xb32_in1k'
DETECTOR = 'faster-rcnn_dia-r50_fpn_1x_coco'
# Arguments that make them small.
SLIM = {
    CLASSIFIER: dict(
        backbone=dict(depth=18, base_channels=8, stem_channels=8, ratio=4),
        head=dict(in_channels=64, num_classes=3),
    ),
    DETECTOR: dict(
        backbone=dict(depth=18, base_channels=8, interaction=dict(ratio=4), init_cfg=None),
        neck=dict(in_channels=[8, 16, 32, 64]),
    ),
}


@pytest.fixture(autouse=True)
def no_default_scope(monkeypatch):
    monkeypatch.setattr(DefaultScope, '_instance_dict', OrderedDict())


@pytest.fixture(scope='module')
def image(tmp_path_factory):
    path = tmp_path_factory.mktemp('images') / 'image.jpg'
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8))
    return str(path)


def test_list_models():
    names = list_models()
    assert {CLASSIFIER, DETECTOR} <= set(names) and names == sorted(names)
    # As MMPretrain's function: something may follow the pattern, nothing precede it.
    assert list_models('dla-l*in1k') == ['dla-l-resnet101_8xb32_in1k', 'dla-l-resnet50_8xb32_in1k']
    assert set(list_models('*dla-l')) > set(list_models('dla-l'))
    assert list_models('nothing') == []


@pytest.mark.parametrize('name', SLIM)
def test_get_model(name, tmp_path, monkeypatch):
    monkeypatch.setenv('MMDIA_TRUST', '')
    model = get_model(name, **SLIM[name])
    assert isinstance(model.backbone, ResNet) and not model.training
    assert model.backbone.stage_channels == (8, 16, 32, 64)

    state = {key: value + 1 for key, value in model.state_dict().items()}
    torch.save(
        dict(state_dict=state, meta=dict(dataset_meta=dict(classes=list('abc')))),
        tmp_path / 'a.pth',
    )
    other = get_model(name, tmp_path / 'a.pth', **SLIM[name])
    assert all(torch.equal(value, state[key]) for key, value in other.state_dict().items())
    meta = other.dataset_meta if name == DETECTOR else other._dataset_meta
    assert meta['classes'] == list('abc')

    torch.save(dict(state_dict=state, meta=Call(Path.touch, tmp_path / 'trap')), tmp_path / 'b.pth')
    with pytest.raises(UnsafeCheckpointError):
        get_model(name, str(tmp_path / 'b.pth'), **SLIM[name])
    assert not (tmp_path / 'trap').exists()


def test_get_model_of_any_config():
    model = get_model('mmdia::dla/dla-l-resnet56_b128-180e_cifar100.py', head=dict(num_classes=7))
    assert model.head.num_classes == 7
    with pytest.raises(FileNotFoundError, match=r'nothing\.py'):
        get_model('mmdia::dia/nothing.py')


@pytest.mark.parametrize(
    'model',
    (
        'dia-resnet18-w16_b128-20e_cifar100',
        'mmdia::small/dia-resnet18-w16_b128-20e_cifar100.py',
        str(CONFIGS / 'small/dia-resnet18-w16_b128-20e_cifar100.py'),
        CONFIGS / 'small/dia-resnet18-w16_b128-20e_cifar100.py',
        Config.fromfile(CONFIGS / 'small/dia-resnet18-w16_b128-20e_cifar100.py'),
        'faster-rcnn_dia-resnet18-w16_fpn_10e_bccd',
    ),
    ids=lambda model: type(model).__name__,
)
def test_whatever_names_a_model(model):
    backbone = get_model(model, backbone=dict(interaction=dict(ratio=8))).backbone
    assert backbone.layer1.interaction.cell.ratio == 8
    if isinstance(model, Config):
        assert model.model.backbone.interaction.ratio == 4  # untouched


def test_weights_of_the_package(tmp_path, monkeypatch):
    """Each file has an entry, its hash, and loads without a network and an empty cache."""
    monkeypatch.setenv('MMDIA_CHECKPOINTS', '')
    monkeypatch.setattr('mmdia.checkpoints.cache.cache_folder', lambda: tmp_path)
    files = {path.name: path for path in WEIGHTS.glob('*.pth')}
    entries = [entry for entry in index.model_entries() if entry.get('Weights')]
    assert files.keys() == {index.read_model(entry).filename for entry in entries} != set()
    for entry in entries:
        file = files[index.read_model(entry).filename]
        assert sha256(file.read_bytes()).hexdigest() == entry['Metadata']['SHA256']
        assert entry['Results'][0]['Metrics']
        state = get_model(entry['Name'], pretrained=True).state_dict()
        saved = torch.load(file, weights_only=True)['state_dict']
        assert all(torch.equal(value, saved[key]) for key, value in state.items())
    assert not list(tmp_path.iterdir())


def test_models_of_other_libraries():
    model = get_model('mmpretrain::resnet/resnet18_8xb16_cifar10.py')
    assert type(model.backbone).__name__ == 'ResNet_CIFAR'
    model = get_model('mmdet::retinanet/retinanet_r18_fpn_1x_coco.py')
    assert type(model).__name__ == 'RetinaNet'


def test_weights_that_a_config_names(tmp_path):
    model = get_model('dia-resnet18-w16_b128-20e_cifar100')
    state = {key: value + 1 for key, value in model.state_dict().items()}
    torch.save(dict(state_dict=state), tmp_path / 'a.pth')
    cfg = Config.fromfile(CONFIGS / 'small/dia-resnet18-w16_b128-20e_cifar100.py')
    with pytest.raises(ValueError, match='has no weights yet'):
        get_model(cfg, pretrained=True)
    cfg.load_from = str(tmp_path / 'a.pth')
    other = get_model(cfg, pretrained=True)
    assert all(torch.equal(value, state[key]) for key, value in other.state_dict().items())


@pytest.mark.parametrize(
    'name', ('mmdia::dia/dia-resnet50_8xb32_in1k.py', 'mmdia::dia/retinanet_dia-r50_fpn_1x_coco.py')
)
def test_get_model_of_mmengine(name):
    backbone = mmengine.hub.get_model(name).backbone
    assert isinstance(backbone, ResNet) and 'layer4.interaction' in dict(backbone.named_modules())


def test_detectors_keep_where_they_start():
    model = get_model(DETECTOR, rpn_head=dict(feat_channels=8))
    assert model.backbone.init_cfg['checkpoint'] == 'torchvision://resnet50'
    assert model.rpn_head.feat_channels == 8


def test_name_that_there_is_not():
    with pytest.raises(
        ValueError, match=r"no model 'dia-resnet50_in1k'; close matches: dia-resnet50_8xb32_in1k, "
    ):
        get_model('dia-resnet50_in1k')
    with pytest.raises(ValueError, match=r"no model '@'; close matches: none; list_models\(\)"):
        get_model('@')


@pytest.mark.parametrize('name', (CLASSIFIER, 'mmdia::rla/rla-resnet50_8xb32_in1k.py'))
def test_model_without_weights(name):
    message = f'pretrained=True: {Path(name).stem} has no weights yet; give a file, a URL'
    with pytest.raises(ValueError, match=message):
        get_model(name, pretrained=True)


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A model index in which both models have weights, of the small variants."""
    monkeypatch.setenv('MMDIA_CHECKPOINTS', str(tmp_path))
    models = []
    for name, data in ((CLASSIFIER, 'ImageNet-1k'), (DETECTOR, 'COCO')):
        (entry,) = (entry for entry in index.model_entries() if entry['Name'] == name)
        (tmp_path / f'{name}.py').write_text(
            f'_base_ = {str(index.MODEL_INDEX.parent / entry["Config"])!r}\nmodel = {SLIM[name]}\n'
            + '_base_.test_dataloader.dataset.pipeline[1].scale = (96, 96)' * (name == DETECTOR)
        )
        torch.manual_seed(7)
        weights = tmp_path / f'{name}.pth'
        with DefaultScope.overwrite_default_scope('mmdet'):
            torch.save(get_model(name, **SLIM[name]).state_dict(), weights)
        digits = sha256(weights.read_bytes()).hexdigest()
        weights.rename(tmp_path / f'{name}-{digits[:8]}.pth')
        metadata = {'Training Data': data, 'SHA256': digits}
        urls = [f'http://127.0.0.1:9/{name}.pth', f'http://127.0.0.1:9/mirror/{name}.pth']
        models.append(dict(Name=name, Config=f'{name}.py', Metadata=metadata, Weights=urls))
    dump(dict(Import=['metafile.yml']), tmp_path / 'model-index.yml')
    dump(dict(Models=models), tmp_path / 'metafile.yml')
    monkeypatch.setattr(index, 'MODEL_INDEX', tmp_path / 'model-index.yml')
    mmpretrain.list_models()  # MMPretrain's own are registered now, and once
    monkeypatch.setattr(hub.ModelHub, '_models_dict', dict(hub.ModelHub._models_dict))
    add_to_mmpretrain()
    return {name: torch.load(*tmp_path.glob(f'{name}-*.pth')) for name in SLIM}


def assert_loaded(model, state):
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize('name', SLIM)
def test_model_with_weights(published, name):
    assert_loaded(get_model(name, pretrained=True), published[name])


def test_mmpretrain_loads_published_weights(published, image):
    assert_loaded(mmpretrain.get_model(CLASSIFIER, pretrained=True), published[CLASSIFIER])
    inferencer = mmpretrain.ImageClassificationInferencer(CLASSIFIER)
    assert_loaded(inferencer.model, published[CLASSIFIER])
    assert len(inferencer(image)[0]['pred_scores']) == 3


def test_mmdetection_loads_published_weights(published, image):
    inferencer = DetInferencer(DETECTOR.upper(), device='cpu', show_progress=False)
    assert_loaded(inferencer.model, published[DETECTOR])
    assert 'bboxes' in inferencer(image)['predictions'][0]


def test_mmdetection_knows_its_own_names():
    with pytest.raises(ValueError, match='Cannot find model: nothing in mmdet'):
        DetInferencer('nothing')
    assert CLASSIFIER in BaseInferencer.list_models('mmdia')


def test_functions_of_mmpretrain(image):
    listed = mmpretrain.list_models('*', task='Image Classification')
    # MMPretrain would have raised if one of its models had the name of one of ours.
    assert set(listed) & set(list_models()) == {
        entry['Name']
        for entry in index.model_entries()
        if entry['Metadata']['Training Data'] in TASKS
    }
    assert 'resnet50_8xb32_in1k' in listed
    # Models without weights are built at random, with a warning.
    with pytest.warns(UserWarning, match='Unable to find pre-defined checkpoint'):
        result = mmpretrain.inference_model(CLASSIFIER, image)
    assert len(result['pred_scores']) == 1000
    model = get_model(CLASSIFIER, **SLIM[CLASSIFIER])
    assert len(mmpretrain.inference_model(model, image)['pred_scores']) == 3


def test_functions_of_mmdetection(image):
    cfg = get_config(f'mmdia::dia/{DETECTOR}.py')
    cfg.merge_from_dict(dict(model=SLIM[DETECTOR]))
    for model in (init_detector(cfg, device='cpu'), get_model(DETECTOR, **SLIM[DETECTOR])):
        model.cfg.test_dataloader.dataset.pipeline[1].scale = (96, 96)
        assert inference_detector(model, image).pred_instances.bboxes.shape[1] == 4


# In fresh processes: what the names need to be known.
ORDERS = {
    'mmdia-first': 'import mmdia.apis',
    'mmdia-last': 'import mmpretrain, mmengine.infer, mmdia.apis',
}


@pytest.mark.parametrize('order', ORDERS.values(), ids=ORDERS)
def test_order_of_imports(order):
    code = f"""{order}
from types import SimpleNamespace
from mmengine.infer import BaseInferencer
from mmpretrain import list_models
assert {CLASSIFIER!r} in list_models('dia')
find = BaseInferencer._load_model_from_metafile
cfg, weights = find(SimpleNamespace(scope='mmdet'), {DETECTOR!r})
assert cfg.model.type == 'FasterRCNN' and weights is None
"""
    subprocess.run([sys.executable, '-c', code], check=True, timeout=120)


def test_example_of_the_readme(tmp_path, image, monkeypatch):
    text = (ROOT / 'README.md').read_text(encoding='utf-8')
    (code,) = (
        block
        for block in re.findall(r'^```python\n(.*?)^```$', text, re.MULTILINE | re.DOTALL)
        if 'get_model' in block
    )
    monkeypatch.chdir(tmp_path)
    for name, path in ((CLASSIFIER, 'weights.pth'), (DETECTOR, 'detector.pth')):
        with DefaultScope.overwrite_default_scope('mmdet'):
            torch.save(get_model(name).state_dict(), path)
    Path('image.jpg').write_bytes(Path(image).read_bytes())
    exec(code, {})
    assert Path('outputs', 'vis', 'image.jpg').is_file()
