"""Every config builds; every shipped model trains and predicts."""

import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.fileio import load
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from modelindex.load_model_index import load as load_model_index

from mmdia.models import LayerInteraction, ResNet

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(
    str(path.relative_to(ROOT / 'configs')) for path in (ROOT / 'configs').glob('[!_]*/*.py')
)

RESULTS = load(ROOT / 'configs' / 'paper_results.yml')
CLASSES = {
    'CIFAR-10': 10,
    'CIFAR-100': 100,
    'STL-10': 10,
    'ImageNet': 1000,
    'mini-ImageNet': 100,
    'chest X-ray': 2,
}
# What the papers do not print: first looks, another schedule, and the plain networks of depths
# that they print with attention only.
OTHERS = {
    'dia/resnet83_b128-180e_cifar100.py',
    'dia/resnet245_b128-180e_cifar100.py',
    'dia/resnet407_b128-180e_cifar100.py',
    'lsa/resnet245_b128-164e_cifar100.py',
    'lsa/resnet407_b128-164e_cifar100.py',
    'dia/dia-resnet18_b128-5e_cifar100-folder.py',
    'dia/resnet18_b128-5e_cifar100-folder.py',
    'dia/dia-resnet50_8xb32_in1k.py',
}
# Detectors by method, each at two depths.
DETECTORS = {
    f'{folder}/{detector}_{method}-{depth}_fpn_1x_coco.py'
    for detector in ('faster-rcnn', 'retinanet', 'mask-rcnn')
    for folder, method in (
        ('dia', 'dia'),
        ('dia', 'dia-se'),
        ('lsa', 'dia-light'),
        ('lsa', 'se'),
        ('lsa', 'eca'),
        ('lsa', 'sge'),
        ('dla', 'dla-l'),
        ('dla', 'mrla-l'),
        ('rla', 'rla'),
    )
    for depth in ('r50', 'r101')
}


@pytest.fixture(scope='module', autouse=True)
def metafiles_are_read_once():
    """MMEngine reads all metafiles of a library for every config inherited from it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmengine.config.utils.load', lru_cache(maxsize=None)(load))
        yield


def read(name):
    cfg = Config.fromfile(ROOT / 'configs' / name)
    init_default_scope(cfg.default_scope)
    return cfg


@pytest.fixture(scope='module')
def trunk(tmp_path_factory):
    """A stand-in for the weights of ResNet-50 that detectors would download."""
    path = tmp_path_factory.mktemp('checkpoints') / 'resnet50.pth'
    torch.save(ResNet(50).state_dict(), path)
    return str(path)


@pytest.fixture
def build(trunk):
    """Builds the model of a config."""

    def build_model(cfg):
        if 'init_cfg' in cfg.model.backbone:
            cfg.model.backbone.init_cfg.checkpoint = trunk
        return initialize(cfg)

    return build_model


def initialize(cfg):
    if cfg.default_scope == 'mmdet':
        from mmdet.registry import MODELS
    else:
        from mmpretrain.registry import MODELS
    model = MODELS.build(cfg.model)
    # What starts from other weights or from the identity; the rest need not be initialised
    # by the papers' rules, with which the deepest networks without norms explode at once.
    if 'init_cfg' in cfg.model.backbone:
        model.init_weights()
    return model


def classification_data(model):
    from mmpretrain.structures import DataSample

    count, size = model.head.num_classes, 2 * model.backbone.stride
    labels = torch.randint(count, (2,))
    image = torch.randint(256, (3, size, size), dtype=torch.uint8)
    return [dict(inputs=image, data_samples=DataSample().set_gt_label(n)) for n in labels]


def detection_data(size=96):
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData

    meta = dict(img_id=1, img_shape=(size, size), ori_shape=(size, size), scale_factor=(1.0, 1.0))
    data = []
    for left in (10.0, 30.0):
        sample = DetDataSample(metainfo=meta)
        boxes = torch.tensor([[left, 20.0, left + 40, 60.0]])
        masks = np.zeros((1, size, size), dtype=np.uint8)
        masks[0, 20:60, int(left) : int(left) + 40] = 1
        sample.gt_instances = InstanceData(
            bboxes=boxes, labels=torch.tensor([1]), masks=BitmapMasks(masks, size, size)
        )
        image = torch.from_numpy(np.random.default_rng(0).integers(256, size=(3, size, size)))
        data.append(dict(inputs=image.to(torch.uint8), data_samples=sample))
    return data


# The deep twins of the detectors differ in nothing but depth and weights.
DEEP_DETECTORS = [name for name in CONFIGS if '-r101_' in name]


@pytest.mark.parametrize('name', DEEP_DETECTORS)
def test_deep_detector_builds(name):
    from mmdet.registry import MODELS

    cfg, twin = read(name), read(name.replace('r101', 'r50'))
    assert cfg.model.backbone.pop('init_cfg').checkpoint == 'torchvision://resnet101'
    assert cfg.model.backbone.pop('depth') == 101
    assert twin.model.backbone.pop('init_cfg').checkpoint == 'torchvision://resnet50'
    assert twin.model.backbone.pop('depth') == 50
    assert cfg.model == twin.model and cfg.train_dataloader == twin.train_dataloader
    with torch.device('meta'):
        model = MODELS.build(read(name).model)
    assert model.backbone.stage_blocks == (3, 4, 23, 3)


@pytest.mark.parametrize('name', [name for name in CONFIGS if name not in DEEP_DETECTORS])
def test_model_trains_and_predicts(name, build):
    cfg = read(name)
    for row in RESULTS:
        if row['config'] == name:
            assert (row['method'] == 'plain') == ('interaction' not in cfg.model.backbone)
            if row['data'] != 'COCO':
                assert cfg.model.head.num_classes == CLASSES[row['data']]
    model = build(cfg)
    model.train()
    detection = cfg.default_scope == 'mmdet'
    data = pseudo_collate(detection_data() if detection else classification_data(model))
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    before = {k: p.detach().clone() for k, p in model.backbone.named_parameters()}

    losses = model.train_step(data, optimizer)
    assert all(torch.isfinite(torch.as_tensor(value)).all() for value in losses.values())
    changed = {k for k, p in model.backbone.named_parameters() if not torch.equal(p, before[k])}
    # The step reaches every stage and interaction that learns: after one step from the
    # identity, the last layers of the gates, or the weights of the norms that follow attention.
    learning = [k for k, p in model.backbone.named_parameters() if p.requires_grad]
    parts = {k.split('.')[0] for k in learning}
    parts |= {k.split('interaction')[0] + 'interaction' for k in learning if 'interaction' in k}
    assert all(any(k.startswith(part) for k in changed) for part in parts)
    frozen = [k for k, p in model.backbone.named_parameters() if not p.requires_grad]
    assert bool(frozen) == (cfg.model.backbone.get('frozen_stages', -1) >= 0)
    assert not changed & set(frozen)

    model.eval()
    samples = model.test_step(data)
    if detection:
        assert all(sample.pred_instances.bboxes.shape[1] == 4 for sample in samples)
    else:
        assert all(sample.pred_score.shape == (cfg.model.head.num_classes,) for sample in samples)


# Batch, epochs, milestones, factor, weight decay, Nesterov momentum: 001, appendix; 002,
# section 4.1; run scripts of 003; 004, appendix.
RECIPES = {
    'dia/dia-resnet164_b128-180e_cifar100.py': (128, 180, [60, 120], 0.1, 1e-4, False),
    'dia/dia-resnet164_b128-180e_cifar10-noaug.py': (128, 180, [60, 120], 0.1, 1e-4, False),
    'dia/se-preresnet164_b128-164e_cifar10.py': (128, 164, [81, 122], 0.1, 1e-4, False),
    'dia/dia-wrn52-4_b128-200e_cifar100.py': (128, 200, [80, 120, 160], 0.2, 5e-4, False),
    'dia/dia-resnext101-8x32_b128-300e_cifar10.py': (128, 300, [150, 225], 0.1, 5e-4, False),
    'dia/dia-resnet50_8xb32-120e_in1k.py': (256, 120, [30, 60, 90], 0.1, 1e-4, False),
    'dia/dia-resnet50_8xb32_in1k.py': (256, 100, [30, 60, 90], 0.1, 1e-4, False),
    'lsa/dia-light-resnet164_b128-164e_cifar10.py': (128, 164, [81, 122], 0.1, 1e-4, False),
    'lsa/spem-wrn52-4_b128-200e_stl10.py': (128, 200, [80, 120, 160], 0.2, 5e-4, False),
    'lsa/eca-resnet34_8xb32-120e_mini-in.py': (256, 120, [30, 60, 90], 0.1, 1e-4, False),
    'lsa/dia-resnet50_8xb32-120e_chest-xray.py': (256, 120, [30, 60, 90], 0.1, 1e-4, False),
    'dla/dla-l-resnet110_b128-180e_cifar100.py': (128, 180, [100, 150], 0.1, 1e-4, False),
    'dla/dla-l-resnet50_8xb32_in1k.py': (256, 100, [30, 60, 90], 0.1, 1e-4, False),
    'rla/rla-resnet56-basic_b128-160e_cifar10.py': (128, 160, [80, 120], 0.1, 1e-4, True),
    'rla/rla-resnet50_8xb32_in1k.py': (256, 100, [30, 60, 90], 0.1, 1e-4, True),
}


@pytest.mark.parametrize('name', RECIPES)
def test_recipe_is_that_of_the_paper(name):
    cfg = read(name)
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.momentum) == ('SGD', 0.1, 0.9)
    steps = cfg.param_scheduler
    if isinstance(steps, list):
        warmup, steps = steps
        assert (warmup.type, warmup.end) == ('LinearLR', 3)
    assert (
        cfg.auto_scale_lr.base_batch_size,
        cfg.train_cfg.max_epochs,
        steps.milestones,
        steps.gamma,
        optimizer.weight_decay,
        optimizer.get('nesterov', False),
    ) == RECIPES[name]
    gpus = 8 if '8xb32' in name else 1
    assert gpus * cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size


def transforms(cfg):
    return [step.type for step in cfg.train_dataloader.dataset.pipeline]


def test_augmentation():
    plain, none = (
        read(f'dia/resnet164_b128-180e_{data}.py') for data in ('cifar10', 'cifar10-noaug')
    )
    assert transforms(plain) == ['RandomCrop', 'RandomFlip', 'PackInputs']
    assert transforms(none) == ['PackInputs']
    assert plain.val_dataloader == none.val_dataloader
    for cfg in (plain, read('dia/resnet164_b128-180e_cifar100.py')):
        mean, std = ([v / 255 for v in cfg.data_preprocessor[key]] for key in ('mean', 'std'))
        assert mean == pytest.approx([0.4914, 0.4822, 0.4465], abs=1e-4)
        assert std == pytest.approx([0.2023, 0.1994, 0.2010], abs=1e-4)


def test_every_result_of_the_papers_has_its_config():
    named = {row['config'] for row in RESULTS}
    assert named <= set(CONFIGS)
    others = {name for name in CONFIGS if name not in named and not name.startswith('demo/')}
    assert others == OTHERS | (DETECTORS - named)
    assert set(CONFIGS) >= DETECTORS


def test_page_of_configs_is_up_to_date():
    tool = ROOT / 'tools' / 'analysis_tools' / 'list_configs.py'
    subprocess.run([sys.executable, str(tool), '--check'], check=True)


def test_model_index_lists_the_configs():
    index = load_model_index(str(ROOT / 'model-index.yml'))
    index.build_models_with_collections()
    listed = {model.config for model in index.models}
    assert len(listed) == len(index.models)
    # Every detector and every attended classifier for ImageNet.
    shown = [name for name in CONFIGS if name.endswith(('_in1k.py', '_coco.py'))]
    assert listed == {
        f'configs/{name}' for name in shown if not Path(name).name.startswith(('resnet', 'resnext'))
    }
    for model in index.models:
        assert (ROOT / model.config).stem == model.name
        cfg = read(Path(model.config).relative_to('configs'))
        with torch.device('meta'):
            built = MODELS.build(cfg.model)
        assert type(built.backbone.interactions()[0]) is not LayerInteraction
        data = model.metadata.data
        assert data['Parameters'] == sum(p.numel() for p in built.parameters())
        assert data['Epochs'] == cfg.train_cfg.max_epochs
        assert data['Batch Size'] == cfg.auto_scale_lr.base_batch_size
        assert ('FLOPs' in data) == (cfg.default_scope == 'mmpretrain')
        assert model.results is None
