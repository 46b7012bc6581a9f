"""Every config builds; every shipped model trains and predicts."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from modelindex.load_model_index import load as load_model_index

from mmdia.models import ResNet

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(
    str(path.relative_to(ROOT / 'configs')) for path in (ROOT / 'configs').glob('[!_]*/*.py')
)


def read(name):
    cfg = Config.fromfile(ROOT / 'configs' / name)
    init_default_scope(cfg.default_scope)
    return cfg


@pytest.fixture
def build(tmp_path):
    """Builds the model of a config, with a stand-in for the weights it would download."""

    def build_model(cfg):
        backbone = cfg.model.backbone
        if 'init_cfg' in backbone:
            path = tmp_path / 'trunk.pth'
            torch.save(ResNet(backbone.depth).state_dict(), path)
            backbone.init_cfg.checkpoint = str(path)
        return initialize(cfg)

    return build_model


def initialize(cfg):
    if cfg.default_scope == 'mmdet':
        from mmdet.registry import MODELS
    else:
        from mmpretrain.registry import MODELS
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model


def classification_data(cfg, size=64):
    from mmpretrain.structures import DataSample

    count = cfg.model.head.num_classes
    labels = torch.randint(count, (2,))
    image = torch.randint(256, (3, size, size), dtype=torch.uint8)
    return [dict(inputs=image, data_samples=DataSample().set_gt_label(n)) for n in labels]


def detection_data(cfg, size=96):
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    meta = dict(img_id=1, img_shape=(size, size), ori_shape=(size, size), scale_factor=(1.0, 1.0))
    data = []
    for left in (10.0, 30.0):
        sample = DetDataSample(metainfo=meta)
        boxes = torch.tensor([[left, 20.0, left + 40, 60.0]])
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.tensor([1]))
        image = torch.from_numpy(np.random.default_rng(0).integers(256, size=(3, size, size)))
        data.append(dict(inputs=image.to(torch.uint8), data_samples=sample))
    return data


@pytest.mark.parametrize('name', CONFIGS)
def test_model_trains_and_predicts(name, build):
    cfg = read(name)
    model = build(cfg)
    model.train()
    detection = cfg.default_scope == 'mmdet'
    data = pseudo_collate(detection_data(cfg) if detection else classification_data(cfg))
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


def test_schedules_are_those_of_the_papers():
    for name, epochs in (
        ('dia/dia-resnet50_8xb32_in1k.py', 100),
        ('dia/dia-resnet50_8xb32-120e_in1k.py', 120),
        ('dla/dla-l-resnet50_8xb32_in1k.py', 100),
        ('rla/rla-resnet50_8xb32_in1k.py', 100),
    ):
        cfg = read(name)
        optimizer = cfg.optim_wrapper.optimizer
        assert (optimizer.type, optimizer.lr, optimizer.momentum) == ('SGD', 0.1, 0.9)
        assert optimizer.weight_decay == 1e-4
        assert optimizer.get('nesterov', False) == name.startswith('rla')
        assert cfg.param_scheduler.milestones == [30, 60, 90]
        assert cfg.param_scheduler.gamma == 0.1
        assert cfg.train_cfg.max_epochs == epochs
        assert cfg.auto_scale_lr.base_batch_size == 8 * cfg.train_dataloader.batch_size == 256


def test_model_index_lists_the_configs():
    index = load_model_index(str(ROOT / 'model-index.yml'))
    index.build_models_with_collections()
    for model in index.models:
        assert (ROOT / model.config).stem == model.name
        assert (ROOT / model.config).is_file()
    listed = {model.config for model in index.models}
    benchmarks = {f'configs/{name}' for name in CONFIGS if name.endswith(('in1k.py', 'coco.py'))}
    assert listed == benchmarks
