"""Detectors and classifiers of other libraries with our ResNet: the same loss, step and result."""

import copy

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.hub import get_config
from mmengine.registry import init_default_scope

from ..zoos import dicts
from .test_zoos import randomize_all, swap

DETECTORS = {
    'Faster R-CNN': 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
    'Mask R-CNN': 'mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
    'RetinaNet': 'retinanet/retinanet_r50_fpn_1x_coco.py',
    'FCOS, ResNeXt': 'fcos/fcos_x101-64x4d_fpn_gn-head_ms-640-800-2x_coco.py',
    'DETR': 'detr/detr_r50_8xb2-150e_coco.py',
}
CLASSIFIERS = {
    'ResNet-18': 'resnet/resnet18_8xb32_in1k.py',
    'ResNet-50-V1d': 'resnet/resnetv1d50_8xb32_in1k.py',
    'ResNeXt-50': 'resnext/resnext50-32x4d_8xb32_in1k.py',
    'SE-ResNet-50': 'seresnet/seresnet50_8xb32_in1k.py',
}
CHANNELS = 16  # of the first stage's blocks


def slim(model):
    """Make a network narrow: backbone, neck and heads."""
    backbone = model.backbone
    backbone.pop('init_cfg', None)
    # Reduced by its ratio, MMPretrain's SE has a multiple of 8 channels.
    width = backbone.base_channels = 32 if backbone.type.startswith('SE') else CHANNELS
    backbone.update(stem_channels=width, depth=min(backbone.depth, 50))
    if 'groups' in backbone:
        backbone.groups = 4
    widths = [width * 2**stage * (4 if backbone.depth >= 50 else 1) for stage in range(4)]
    if model.type == 'ImageClassifier':
        model.head.update(in_channels=widths[-1], num_classes=10)
    else:
        # DETR's neck reads the last stage alone.
        model.neck.in_channels = [widths[i] for i in backbone.out_indices]
    for part in dicts(model):
        for key in ('fc_out_channels', 'num_layers'):
            if key in part:
                part[key] = min(part[key], 32 if key == 'fc_out_channels' else 1)
    return model


def preprocess(model, batch, **kwargs):
    """The batch in the precision of the model."""
    data = model.data_preprocessor(copy.deepcopy(batch), **kwargs)
    return dict(data, inputs=data['inputs'].to(next(model.parameters()).dtype))


def outcome(model, batch):
    """The loss, the gradients of all parameters, and the predictions."""
    torch.manual_seed(0)  # samplers choose boxes at random
    model.train()
    data = preprocess(model, batch, training=True)
    losses = model.parse_losses(model(**data, mode='loss'))[0]
    losses.backward()
    gradients = {k: p.grad for k, p in model.named_parameters() if p.grad is not None}
    model.eval()
    with torch.no_grad():
        data = preprocess(model, batch)
        predictions = model(**data, mode='predict')
    return losses.detach(), gradients, predictions


def assert_same(registry, cfg, batch, exactly=True):
    """Compare a model with the same one on our backbone, after a step and in evaluation.

    Where they round in other ways, in double precision.
    """
    theirs = registry.build(copy.deepcopy(cfg))
    randomize_all(theirs.backbone)
    ours = registry.build(ConfigDict(cfg, backbone=swap(copy.deepcopy(cfg.backbone))))
    assert type(ours.backbone).__module__.startswith('mmdia.')
    ours.load_state_dict(theirs.state_dict())
    if not exactly:
        theirs.double(), ours.double()
    (loss, gradients, predictions), (other, expected, truth) = (
        outcome(model, batch) for model in (ours, theirs)
    )
    norms = [torch.stack([g.norm() for g in d.values()]).norm() for d in (gradients, expected)]
    assert other.isfinite() and norms[1] > 0
    tolerance = dict(rtol=0 if exactly else 1e-10, atol=0)
    torch.testing.assert_close(loss, other, **tolerance)
    torch.testing.assert_close(*norms, **tolerance)
    return predictions, truth


@pytest.mark.parametrize('name', DETECTORS)
def test_detector(name):
    from mmdet.registry import MODELS
    from mmdet.testing import demo_mm_inputs

    init_default_scope('mmdet')
    cfg = slim(get_config(f'mmdet::{DETECTORS[name]}').model)
    for part in dicts(cfg):  # an untrained detector is sure of nothing
        if 'score_thr' in part:
            part['score_thr'] = 0.0
    batch = demo_mm_inputs(2, [[3, 96, 96], [3, 96, 96]], num_items=[3, 4], with_mask=True)
    predictions, expected = assert_same(MODELS, cfg, batch)
    for ours, theirs in zip(predictions, expected, strict=True):
        assert len(theirs.pred_instances)
        for key, value in theirs.pred_instances.items():
            assert torch.equal(ours.pred_instances[key], value), key


@pytest.mark.parametrize('name', CLASSIFIERS)
def test_classifier(name):
    from mmpretrain.registry import MODELS
    from mmpretrain.structures import DataSample

    init_default_scope('mmpretrain')
    cfg = slim(get_config(f'mmpretrain::{CLASSIFIERS[name]}').model)
    samples = [DataSample().set_gt_label(label) for label in (1, 7)]
    batch = dict(inputs=torch.randn(2, 3, 64, 64), data_samples=samples)
    # Our SE, which pools and multiplies in other operations, rounds otherwise in training.
    exactly = 'SE' not in name
    predictions, expected = assert_same(MODELS, cfg, batch, exactly)
    tolerance = dict(rtol=0, atol=0 if exactly else 1e-12)
    for ours, theirs in zip(predictions, expected, strict=True):
        torch.testing.assert_close(ours.pred_score, theirs.pred_score, **tolerance)
