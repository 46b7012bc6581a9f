"""Every config is read; every kind of model trains and predicts."""

import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import (
    DATA_SAMPLERS,
    DATASETS,
    HOOKS,
    LOOPS,
    METRICS,
    MODELS,
    OPTIM_WRAPPERS,
    OPTIMIZERS,
    PARAM_SCHEDULERS,
    TRANSFORMS,
    init_default_scope,
)
from modelindex.load_model_index import load as load_model_index

from mmdia.models import ResNet
from mmdia.results.rows import read_config, read_rows, row_config
from mmdia.results.schedule import schedule_length

from .helpers import count_parameters

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(
    str(path.relative_to(ROOT / 'configs')) for path in (ROOT / 'configs').glob('[!_]*/*.py')
)
ROWS = read_rows()
PAPER_ROWS = [row for row in ROWS if row.run and row.paper != 'mmdia']
LARGE = ('ImageNet', 'mini-ImageNet', 'chest X-ray')
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
pytestmark = pytest.mark.usefixtures('metafiles_are_read_once')


def read(name):
    """A config that inherits from one of ours, as people's do."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'inherits.py')
        path.write_text(f"_base_ = 'mmdia::{name}'\n")
        cfg = Config.fromfile(path)
    init_default_scope(cfg.default_scope)
    return cfg


REGISTRIES = dict(
    model=MODELS,
    dataset=DATASETS,
    sampler=DATA_SAMPLERS,
    batch_sampler=DATA_SAMPLERS,
    val_evaluator=METRICS,
    optim_wrapper=OPTIM_WRAPPERS,
    optimizer=OPTIMIZERS,
    param_scheduler=PARAM_SCHEDULERS,
    train_cfg=LOOPS,
    default_hooks=HOOKS,
    pipeline=TRANSFORMS,
    train_pipeline=TRANSFORMS,
    test_pipeline=TRANSFORMS,
)


def resolved(cfg, registry=None):
    """What the types of a config stand for where they are built, scope by scope."""
    found = []
    if isinstance(cfg, (list, tuple)):
        return [kind for part in cfg for kind in resolved(part, registry)]
    if not isinstance(cfg, dict):
        return found
    with (registry or MODELS).switch_scope_and_registry(cfg.get('_scope_')) as inner:
        if registry is not None and isinstance(cfg.get('type'), str):
            found.append(inner.get(cfg['type']))
        for key, part in cfg.items():
            # Below a model there are parts of other kinds than models.
            of_part = REGISTRIES.get(key, registry if key == 'dataset' else None)
            found += resolved(part, of_part)
    return found


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
    init_default_scope(cfg.default_scope)
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


@pytest.mark.parametrize('name', CONFIGS)
def test_config(name):
    lines = (ROOT / 'configs' / name).read_text(encoding='utf-8').splitlines()
    assert lines[0].startswith('# ')
    cfg, inherited = read_config(name), read(name)
    assert cfg.default_scope in ('mmpretrain', 'mmdet')
    kinds = resolved(cfg.to_dict())
    assert len(kinds) > 10 and resolved(inherited.to_dict()) == kinds
    assert schedule_length(cfg) and cfg.train_dataloader and cfg.val_evaluator
    if '-r101_' in name:  # differs from its twin in nothing but depth and weights
        assert cfg.model.backbone.init_cfg.checkpoint == 'torchvision://resnet101'
        cfg, twin = read(name), read(name.replace('-r101_', '-r50_'))
        twin.model.backbone.init_cfg.checkpoint = 'torchvision://resnet101'
        twin.model.backbone.depth = 101
        assert cfg.to_dict() == twin.to_dict()


def kinds():
    """The shallowest run of each kind of classifier: one a trunk and a method, numbers aside."""
    runs = {}
    for row in PAPER_ROWS:
        if not row.data.startswith('COCO'):
            kind = row.paper == 'RLA', row.data in LARGE, row.network, row.method
            runs.setdefault(re.sub(r'\d+', '', str(kind)), []).append(row)

    def depth(row):
        return int(re.search(r'\d+', row.network)[0])

    return [min(rows, key=depth) for rows in runs.values()]


def detectors():
    """A config of each method at depth 50, the detectors in turns."""
    by_method = {}
    for name in sorted(DETECTORS):
        if '-r50_' in name:
            by_method.setdefault(name.partition('_')[2], []).append(name)
    return [names[i % 3] for i, (_, names) in enumerate(sorted(by_method.items()))]


def few_proposals(model):
    """Let the heads, which take most of the time, run for a few proposals alone."""
    model.train_cfg.rcnn.sampler.num = model.test_cfg.rpn.max_per_img = 8


def assert_trains_and_predicts(cfg, model):
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


@pytest.mark.parametrize('row', kinds(), ids=lambda row: row.run)
def test_classifier_trains_and_predicts(row):
    cfg = row_config(row)
    small = dict(CIFARResNet=20, PreResNet=20, WideResNet=16)
    backbone = cfg.model.backbone
    backbone.depth = small.get(backbone.type.removeprefix('mmdia.'), backbone.depth)
    assert_trains_and_predicts(cfg, initialize(cfg))


@pytest.mark.parametrize('name', ('dia/dia-resnet50_8xb32_in1k.py', *detectors()))
def test_model_trains_and_predicts(name, build):
    cfg = read(name)
    if 'roi_head' in cfg.model:
        few_proposals(cfg.model)
    assert_trains_and_predicts(cfg, build(cfg))


def test_c4_detector_trains_and_predicts(build, trunk):
    cfg = read('rla/faster-rcnn_rla-r50-c4_490k_coco14.py')
    cfg.model.roi_head.shared_head.init_cfg.checkpoint = trunk  # it starts as the fourth stage
    few_proposals(cfg.model)
    model = build(cfg)
    head, weights = model.roi_head.shared_head.state_dict(), torch.load(trunk)
    assert all(torch.equal(value, weights[name]) for name, value in head.items())
    assert {name.split('.')[0] for name in head} == {'layer4'}
    assert len(model.backbone.interaction.heads) == 3 + 4 + 6
    assert_trains_and_predicts(cfg, model)


# Batch, epochs, milestones, factor, weight decay, Nesterov momentum: 001, appendix; 002,
# section 4.1; run scripts of 003; 004, appendix.
RECIPES = {
    'dia/dia-resnet164_b128-180e_cifar100.py': (128, 180, [60, 120], 0.1, 1e-4, False),
    'dia/dia-preresnet164_b128-164e_cifar10.py': (128, 164, [81, 122], 0.1, 1e-4, False),
    'dia/dia-wrn52-4_b128-200e_cifar100.py': (128, 200, [80, 120, 160], 0.2, 5e-4, False),
    'dia/dia-resnext101-8x32_b128-300e_cifar10.py': (128, 300, [150, 225], 0.1, 5e-4, False),
    'dia/dia-resnet50_8xb32-120e_in1k.py': (256, 120, [30, 60, 90], 0.1, 1e-4, False),
    'dia/dia-resnet50_8xb32_in1k.py': (256, 100, [30, 60, 90], 0.1, 1e-4, False),
    'lsa/dia-light-resnet164_b128-164e_cifar10.py': (128, 164, [81, 122], 0.1, 1e-4, False),
    'lsa/dia-light-wrn52-4_b128-200e_stl10.py': (128, 200, [80, 120, 160], 0.2, 5e-4, False),
    'lsa/dia-light-resnet50_8xb32-120e_mini-in.py': (256, 120, [30, 60, 90], 0.1, 1e-4, False),
    'lsa/dia-light-resnet50_8xb32-120e_chest-xray.py': (256, 120, [30, 60, 90], 0.1, 1e-4, False),
    'dla/dla-l-resnet56_b128-180e_cifar100.py': (128, 180, [100, 150], 0.1, 1e-4, False),
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
        *_, steps = steps
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


@pytest.mark.parametrize('name', ('dla-l-resnet50_8xb32_in1k', 'dla-l-resnet101_8xb32_in1k'))
def test_learning_rates_of_dla(name):
    # The released training script, with --warmup-epochs 3; the text has no warm-up.
    cfg = read(f'dla/{name}.py')
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    schedulers = [
        PARAM_SCHEDULERS.build(dict(scheduler, optimizer=optimizer))
        for scheduler in cfg.param_scheduler
    ]
    rates = []
    for _ in range(cfg.train_cfg.max_epochs):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    expected = [0.0001, 0.1 / 3, 0.2 / 3, *(0.1 ** (1 + epoch // 30) for epoch in range(3, 100))]
    assert rates == pytest.approx(expected)


def test_norms_start_with_weight_1():
    """In DIANet's and RLA's networks for ImageNet; DLA's code starts the last ones from 0."""
    large = {row.config for row in PAPER_ROWS if row.data in LARGE and row.config[:3] != 'dla'}
    for name in large:
        assert read_config(name).model.backbone.zero_init_residual is False, name
    assert 'zero_init_residual' not in read('dla/dla-l-resnet50_8xb32_in1k.py').model.backbone


def transforms(cfg):
    return [step.type for step in cfg.train_dataloader.dataset.pipeline]


@pytest.mark.parametrize('name', [n for n in CONFIGS if n.endswith('bccd.py')])
def test_detector_fits_the_classifier_whose_weights_it_loads(name):
    backbone = read(name).model.backbone
    checkpoint = backbone.pop('init_cfg').checkpoint.removeprefix('mmdia://')
    classifier = read(f'small/{checkpoint}.py').model.backbone
    detector, classifier = (
        {key: value.shape for key, value in MODELS.build(cfg).state_dict().items()}
        for cfg in (backbone, classifier)
    )
    assert detector == classifier


def test_augmentation():
    for name in ('cifar10', 'cifar100'):
        cfg = read(f'dia/dia-resnet164_b128-180e_{name}.py')
        assert transforms(cfg) == ['RandomCrop', 'RandomFlip', 'PackInputs']
        mean, std = ([v / 255 for v in cfg.data_preprocessor[key]] for key in ('mean', 'std'))
        assert mean == pytest.approx([0.4914, 0.4822, 0.4465], abs=1e-4)
        assert std == pytest.approx([0.2023, 0.1994, 0.2010], abs=1e-4)


def test_every_config_is_known():
    """A row of the table, one of the detectors, or the schedule of the plain network."""
    named = {row.config for row in ROWS if row.config}
    assert named | DETECTORS <= set(CONFIGS)
    others = {name for name in CONFIGS if not name.startswith('demo/')} - named - DETECTORS
    assert others == {'dia/dia-resnet50_8xb32_in1k.py'}


# Names that MMPretrain has too.
PLAIN = [name for name in CONFIGS if Path(name).name.startswith(('resnet', 'resnext'))]


def test_model_index_lists_the_configs():
    index = load_model_index(str(ROOT / 'model-index.yml'))
    index.build_models_with_collections()
    listed = {model.config for model in index.models}
    assert len(listed) == len(index.models)
    shown = {name for name in CONFIGS if not name.startswith(('demo/', 'small/'))} - set(PLAIN)
    assert {f'configs/{name}' for name in shown} <= listed
    for model in index.models:
        assert (ROOT / model.config).stem == model.name
        cfg = read_config(str(Path(model.config).relative_to('configs')))
        data = model.metadata.data
        assert data['Parameters'] == count_parameters(cfg)
        length = 'Iterations' if 'max_iters' in cfg.train_cfg else 'Epochs'
        assert data[length] == schedule_length(cfg)
        assert data['Batch Size'] == cfg.auto_scale_lr.base_batch_size
        assert ('FLOPs' in data) == (data['Training Data'] == 'ImageNet-1k')
