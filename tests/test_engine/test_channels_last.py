"""Runs with channels innermost in memory, and in mixed precision with bfloat16."""

import copy
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from mmcv import ops
from mmdet.testing import demo_mm_inputs
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmpretrain.structures import DataSample
from torch.nn.parallel import DistributedDataParallel

from mmdia.engine import BFloat16OptimWrapper, ChannelsLastHook, SinglePrecisionHeadsHook
from mmdia.registry import MODELS

ROOT = Path(__file__).parents[2]
CHANNELS_LAST = torch.channels_last


@pytest.fixture
def classifier():
    init_default_scope('mmpretrain')
    backbone = dict(type='mmdia.DIAResNet', depth=18, base_channels=8, stem_channels=8, ratio=4)
    head = dict(type='LinearClsHead', num_classes=3, in_channels=64)
    neck = dict(type='GlobalAveragePooling')
    torch.manual_seed(0)
    return MODELS.build(dict(type='ImageClassifier', backbone=backbone, neck=neck, head=head))


def run_hooks(model, *hooks):
    runner = SimpleNamespace(model=model, cfg={})
    runner.wrap_model = lambda cfg, model: DistributedDataParallel(model)
    for hook in hooks:
        hook.before_run(runner)
    return runner.model


@pytest.fixture
def data():
    samples = [DataSample().set_gt_label(i) for i in range(3)]
    return dict(inputs=torch.rand(3, 3, 64, 64), data_samples=samples)


def optimize(model, kind, **options):
    return kind(torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), **options)


def test_maps_of_a_training_step(classifier, data):
    classifier.to(get_device())
    heads, channels_last = SinglePrecisionHeadsHook(), ChannelsLastHook()
    run_hooks(classifier, heads, channels_last)
    seen = {}

    def see(name):
        return lambda module, args, out: seen.update({name: (args[0], out)})

    backbone = classifier.backbone
    for name, module in dict(
        stem=backbone.conv1, conv=backbone.layer1[1].conv1, fc=classifier.head.fc
    ).items():
        module.register_forward_hook(see(name))
    losses = classifier.train_step(data, optimize(classifier, BFloat16OptimWrapper))
    assert losses['loss'].dtype == torch.float32
    images, stem = seen['stem']
    assert (images.dtype, stem.dtype) == (torch.float32, torch.bfloat16)
    for x in (images, stem, *seen['conv']):
        assert x.is_contiguous(memory_format=CHANNELS_LAST) and not x.is_contiguous()
    assert {x.dtype for x in (*seen['conv'], seen['fc'][1])} == {torch.bfloat16}
    for hook in (heads, channels_last):
        hook.after_run(None)
    assert classifier.data_preprocessor(data, True)['inputs'].is_contiguous()


def test_training_is_close_to_single_precision(classifier, data):
    other = copy.deepcopy(classifier.to(get_device()))
    run_hooks(classifier, ChannelsLastHook(), SinglePrecisionHeadsHook())
    optimizer = optimize(classifier, BFloat16OptimWrapper, clip_grad=dict(max_norm=1))
    expected = optimize(other, OptimWrapper, clip_grad=dict(max_norm=1))
    for _ in range(2):
        found = classifier.train_step(data, optimizer)['loss']
        torch.testing.assert_close(
            found, other.train_step(data, expected)['loss'], rtol=0.02, atol=0.02
        )
    with torch.autocast(get_device(), torch.bfloat16):
        found = classifier.val_step(data)
    for sample, exact in zip(found, other.val_step(data)):
        assert sample.pred_score.dtype == torch.float32
        torch.testing.assert_close(sample.pred_score, exact.pred_score, rtol=0, atol=0.03)


@pytest.mark.parametrize(
    'name', ('mask-rcnn_dia-r50_fpn_1x_coco.py', 'retinanet_dia-r50_fpn_1x_coco.py')
)
def test_detectors(name):
    cfg = Config.fromfile(ROOT / 'configs' / 'dia' / name).model
    cfg.backbone.update(depth=18, base_channels=8, stem_channels=8, init_cfg=None)
    cfg.backbone.interaction.ratio = 4
    cfg.neck.update(in_channels=[8, 16, 32, 64])
    init_default_scope('mmdet')
    detector = MODELS.build(cfg)
    run_hooks(detector, ChannelsLastHook(), SinglePrecisionHeadsHook())
    optimizer = optimize(detector, BFloat16OptimWrapper)
    masks = detector.with_mask
    images = demo_mm_inputs(1, [[3, 64, 96]], num_classes=2, with_mask=masks)
    losses = detector.train_step(images, optimizer)
    assert all(loss.isfinite() and loss.dtype == torch.float32 for loss in losses.values())
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        (sample,) = detector.eval().val_step(demo_mm_inputs(1, [[3, 64, 96]], num_classes=2))
    assert sample.pred_instances.bboxes.dtype == torch.float32
    assert ('masks' in sample.pred_instances) == masks


@pytest.mark.parametrize(
    ('build', 'more'),
    (
        (lambda: ops.RoIAlign(4, 1.0, 2), [[[0, 1, 1, 9, 9], [1, 0, 2, 7, 8]]]),
        (lambda: ops.RoIAlignRotated(4, 1.0, 2), [[[0, 5, 5, 6, 6, 0.3], [1, 4, 4, 7, 8, 0.1]]]),
        (lambda: ops.DeformConv2dPack(8, 8, 3, padding=1), []),
        (lambda: ops.ModulatedDeformConv2dPack(8, 8, 3, padding=1), []),
    ),
    ids=('roi_align', 'roi_align_rotated', 'dcn', 'dcn_v2'),
)
def test_compiled_operators_read_maps_as_they_are(build, more):
    torch.manual_seed(0)
    operator = build()
    for parameter in operator.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    other = torch.nn.Sequential(copy.deepcopy(operator))
    hook = ChannelsLastHook()
    run_hooks(other, hook)
    more = [torch.tensor(part, dtype=torch.float32) for part in more]

    def run(operator, memory_format):
        torch.manual_seed(1)
        x = torch.randn(2, 8, 12, 10).to(memory_format=memory_format).requires_grad_()
        out = operator(x, *more)
        out.backward(torch.randn(out.shape).to(memory_format=memory_format))
        return out, x.grad, *(parameter.grad for parameter in operator.parameters())

    expected = run(operator, torch.contiguous_format)
    torch.testing.assert_close(run(other[0], CHANNELS_LAST), expected)
    hook.after_run(None)


def test_compiled_operators_get_gradients_as_they_read_them():
    seen = []

    class Watched(ops.RoIAlign):
        def forward(self, x, rois):
            out = super().forward(x, rois)
            out.grad_fn.register_prehook(lambda grads: seen.append(grads[0].is_contiguous()))
            return out

    model = torch.nn.Sequential(Watched(4, 1.0, 2))
    hook = ChannelsLastHook()
    run_hooks(model, hook)
    x = torch.randn(2, 8, 12, 10, requires_grad=True)
    out = model[0](x, torch.tensor([[0, 1.0, 1, 9, 9]]))
    out.backward(torch.randn(out.shape).to(memory_format=CHANNELS_LAST))
    assert seen == [True]
    hook.after_run(None)


@pytest.mark.parametrize('dcn', (None, dict(type='DCNv2', deform_groups=1)))
def test_detector_computes_the_same(dcn):
    cfg = Config.fromfile(ROOT / 'configs' / 'dia' / 'faster-rcnn_dia-r50_fpn_1x_coco.py').model
    cfg.backbone.update(base_channels=8, stem_channels=8, init_cfg=None, frozen_stages=-1)
    cfg.backbone.update(dcn=dcn, stage_with_dcn=(False, True, True, True))
    cfg.backbone.interaction.ratio = 4
    cfg.neck.update(in_channels=[32, 64, 128, 256])
    init_default_scope('mmdet')
    torch.manual_seed(0)
    detector = MODELS.build(cfg)
    other = copy.deepcopy(detector)
    run_hooks(other, ChannelsLastHook())
    images = demo_mm_inputs(1, [[3, 64, 96]], num_classes=2)
    found = []
    for model in (detector, other):
        torch.manual_seed(2)  # of the samplers
        data = model.data_preprocessor(copy.deepcopy(images), True)
        found.append(model.parse_losses(model(**data, mode='loss'))[1])
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-3)


def test_distributed_gradients_have_the_format_of_the_weights(classifier, data):
    dist.init_process_group('gloo', store=dist.HashStore(), rank=0, world_size=1)
    try:
        model = run_hooks(DistributedDataParallel(classifier), ChannelsLastHook())
        assert model.module is classifier
        with warnings.catch_warnings():
            warnings.simplefilter('error')  # PyTorch's, of strides that do not match
            data = classifier.data_preprocessor(data, True)
            model(**data, mode='loss')['loss'].backward()
        assert classifier.backbone.conv1.weight.grad.is_contiguous(memory_format=CHANNELS_LAST)
    finally:
        dist.destroy_process_group()
