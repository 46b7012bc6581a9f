"""Interactions on the ResNets of other libraries: the same networks, in place."""

import copy
import io
from functools import partial

import pytest
import timm
import torch
import torchvision
from mmcv.cnn import fuse_conv_bn
from mmdet.models import ResNet as MMDetResNet
from mmdet.models import ResNetV1d as MMDetResNetV1d
from mmdet.models import ResNeXt as MMDetResNeXt
from mmengine.registry import MODELS as REGISTRY
from mmengine.registry import init_default_scope
from mmpretrain.models import ResNet as MMPretrainResNet
from mmpretrain.models import SEResNet as MMPretrainSEResNet
from torch import nn
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

import mmdia
from mmdia.models import ResNet, Stage

from ..helpers import INTERACTIONS, SLIM, needs_compiler, randomize

DIA = dict(type='mmdia.DIALSTM', ratio=2)
RLA = dict(type='mmdia.RLA', ratio=1)
CONTEXT = dict(cfg=dict(type='ContextBlock', ratio=1 / 4), position='after_conv3')


def torchvision_resnet(block='Bottleneck', **kwargs):
    block = getattr(torchvision.models.resnet, block)
    return torchvision.models.ResNet(block, (2, 1, 1, 1), num_classes=5, **kwargs)


def timm_resnet(block='BasicBlock', layers=(2, 1, 1, 1), **kwargs):
    block = getattr(timm.models.resnet, block)
    kwargs = dict(num_classes=5, channels=(8, 16, 32, 64)) | kwargs
    return timm.models.ResNet(block, layers, **kwargs)


MODELS = {
    'torchvision basic': lambda: torchvision_resnet('BasicBlock'),
    'torchvision ResNeXt': lambda: torchvision_resnet(groups=2, width_per_group=16),
    'timm basic': timm_resnet,
    'timm V1d, SE, anti-aliased': lambda: timm_resnet(
        'Bottleneck',
        stem_type='deep',
        avg_down=True,
        aa_layer=timm.layers.BlurPool2d,
        drop_path_rate=0.3,
        block_args=dict(attn_layer='se'),
    ),
    'timm basic, anti-aliased': lambda: timm_resnet(aa_layer=timm.layers.BlurPool2d),
    'timm group norm, GELU': lambda: timm_resnet(
        norm_layer='groupnorm', act_layer='gelu', channels=(32, 32, 64, 64)
    ),
    'timm, fused norms': lambda: fuse_conv_bn(timm_resnet().eval()),
    'timm features': lambda: timm.create_model('test_resnet', features_only=True),
    'MMPretrain basic': lambda: MMPretrainResNet(18, base_channels=8, drop_path_rate=0.3),
    'MMPretrain SE': lambda: MMPretrainSEResNet(50, base_channels=16),
    'MMDetection plugins': lambda: MMDetResNet(50, base_channels=8, plugins=[CONTEXT]),
    'MMDetection caffe': lambda: MMDetResNet(50, base_channels=8, style='caffe', with_cp=True),
    'MMDetection ResNeXt': lambda: MMDetResNeXt(depth=50, groups=2, base_channels=8),
    'MMDetection V1d': lambda: MMDetResNetV1d(depth=18, base_channels=8),
}


def build(name):
    init_default_scope('mmpretrain' if name.startswith('MMPretrain') else 'mmdet')
    return randomize(MODELS[name]())


def images(batch=2, size=(33, 40), **kwargs):
    return torch.randn(batch, 3, *size, **kwargs)


def levels(out):
    return list(out) if isinstance(out, (tuple, list)) else [out]


def outputs(model, x, training):
    model.train(training)
    torch.manual_seed(1)  # of dropped paths
    return levels(model(x))


def assert_equal(ours, expected):
    assert len(ours) == len(expected)
    assert all(map(torch.equal, ours, expected))


# What the model was


@pytest.mark.parametrize('name', MODELS)
def test_starts_as_the_model_that_it_was_and_becomes_it_again(name):
    model = build(name)
    parameters = dict(model.named_parameters())
    keys, stage, x = list(model.state_dict()), model.layer1, images()
    twin = copy.deepcopy(model)
    expected = [outputs(twin, x, training) for training in (False, True)]

    assert mmdia.attach(model, DIA) is model
    assert isinstance(model.layer1, Stage) and len(model.layer1) == len(stage)
    attached = dict(model.named_parameters())
    assert all(attached[key] is value for key, value in parameters.items())
    assert all('.interaction.' in key for key in attached.keys() - parameters.keys())
    for training, before in zip((False, True), expected):
        assert_equal(outputs(model, x, training), before)
    for key, buffer in twin.named_buffers():  # running statistics may differ in the last bit
        torch.testing.assert_close(model.get_buffer(key), buffer, rtol=1e-6, atol=1e-7)
    sum(level.square().mean() for level in outputs(model, x, True)).backward()
    for key, parameter in model.named_parameters():
        assert '.interaction.' not in key or parameter.grad is not None, key

    assert mmdia.detach(model) is model
    assert model.layer1 is stage and list(model.state_dict()) == keys
    twin.load_state_dict(model.state_dict())
    for training in (True, False):
        assert_equal(outputs(model, x, training), outputs(twin, x, training))


@pytest.mark.parametrize('depth', (18, 50))
def test_blocks_of_mmsegmentation(depth, monkeypatch):
    """They have the layers of MMDetection's; MMSegmentation itself may not be installed."""
    model = randomize(MMDetResNet(depth, base_channels=8))
    model.eval()
    forward = type(model.layer1[0]).forward
    monkeypatch.setattr(forward, '__module__', 'mmseg.models.backbones.resnet')
    x = images()
    expected = model(x)
    assert_equal(mmdia.attach(model, DIA)(x), expected)


# What it becomes


def config(interaction, **kwargs):
    return dict(type=interaction, **SLIM.get(interaction, {}), **kwargs)


def attached_and_native(interaction, **kwargs):
    """A ResNet-18 of timm with an interaction, and our backbone with the same weights."""
    theirs = mmdia.attach(timm_resnet(layers=(2, 2, 2, 2)), interaction, **kwargs)
    ours = ResNet(18, interaction, base_channels=8, stem_channels=64, out_indices=(3,))
    state = {k: v for k, v in randomize(theirs).state_dict().items() if not k.startswith('fc.')}
    ours.load_state_dict(state)
    return theirs, ours


@pytest.mark.parametrize('interaction', INTERACTIONS)
def test_is_the_backbone_with_the_interaction(interaction):
    theirs, ours = attached_and_native(config(interaction), identity_init=False)
    x = images()
    for training in (False, True):
        (expected,) = ours.train(training)(x)
        assert torch.equal(theirs.train(training).forward_features(x), expected)
    theirs.forward_features(x).square().sum().backward()
    ours(x)[0].square().sum().backward()
    gradients = dict(theirs.named_parameters())
    for key, parameter in ours.named_parameters():
        assert torch.equal(parameter.grad, gradients[key].grad), key
    missing, unexpected = theirs.load_state_dict(ours.state_dict(), strict=False)
    assert missing == ['fc.weight', 'fc.bias'] and not unexpected


@pytest.mark.parametrize('interaction', INTERACTIONS)
def test_every_interaction_starts_as_the_model(interaction):
    model = randomize(timm_resnet())
    x = images()
    expected = [outputs(copy.deepcopy(model), x, training) for training in (False, True)]
    mmdia.attach(model, config(interaction))
    for training, before in zip((False, True), expected):
        assert_equal(outputs(model, x, training), before)


def test_initializing_later_does_the_same():
    """MMEngine's runner initializes the models that it trains."""
    init_default_scope('mmpretrain')
    backbone = dict(type='ResNet', depth=18, base_channels=8, stem_channels=8)
    head = dict(type='LinearClsHead', num_classes=5, in_channels=64)
    neck = dict(type='GlobalAveragePooling')
    cfg = dict(type='ImageClassifier', backbone=backbone, neck=neck, head=head)
    model = REGISTRY.build(cfg)
    mmdia.attach(model, config('mmdia.MRLALight'))
    model.init_weights()
    x = images()
    expected = copy.deepcopy(model).eval()(x)
    attended = [m.norm for m in model.modules() if hasattr(m, 'norm') and hasattr(m, 'value')]
    assert len(attended) == 8 and not any(norm.weight.any() for norm in attended)
    assert torch.equal(mmdia.detach(model).eval()(x), expected)


def test_initializing_later_zeroes_the_last_norms_of_mmdetection():
    model = mmdia.attach(MMDetResNet(50, base_channels=8), DIA)
    model.init_weights()
    norms = [module for name, module in model.named_modules() if name.endswith('bn3')]
    assert len(norms) == 16 and not any(norm.weight.any() for norm in norms)


def test_some_stages():
    model = mmdia.attach(timm_resnet(), DIA, stages=(False, True, False, True))
    stages = [isinstance(getattr(model, f'layer{i}'), Stage) for i in (1, 2, 3, 4)]
    assert stages == [False, True, False, True]
    mmdia.detach(model)
    assert isinstance(model.layer2, nn.Sequential)


def test_stages_of_a_detector_of_torchvision():
    model = resnet_fpn_backbone(backbone_name='resnet18', weights=None, trainable_layers=5)
    x = images()
    expected = model(x)
    mmdia.attach(model, dict(type='mmdia.MRLALight'))
    assert all(torch.equal(level, expected[key]) for key, level in model(x).items())
    assert isinstance(model.body.layer1[0].bn1, torchvision.ops.FrozenBatchNorm2d)
    with pytest.raises(ValueError, match=r'must not be a dict of modules .* called in turn'):
        mmdia.attach(mmdia.detach(model), RLA)


def test_frozen_stages_and_norms():
    args = dict(depth=18, base_channels=8, frozen_stages=1)
    model = mmdia.attach(MMDetResNet(**args), DIA)
    for _ in range(2):
        trained = {key for key, p in model.named_parameters() if p.requires_grad}
        assert not any(key.startswith(('conv1', 'bn1', 'layer1')) for key in trained)
        assert any(key.startswith('layer2.interaction') for key in trained)
        model.train()
        assert not model.layer1.interaction.training and model.layer2.interaction.training
    assert not any(m.training for m in model.modules() if isinstance(m, nn.BatchNorm2d))


# What is done to models


@pytest.mark.parametrize('interaction', (DIA, RLA), ids=('DIALSTM', 'RLA'))
def test_copies_are_whole_and_independent(interaction):
    model = randomize(mmdia.attach(timm_resnet(), interaction)).eval()
    x = images()
    expected = model(x)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for twin in (copy.deepcopy(model), torch.load(file, weights_only=False)):
        assert torch.equal(twin(x), expected)
        for parameter in twin.parameters():
            nn.init.zeros_(parameter)
        assert torch.equal(model(x), expected)
        assert not any(p.any() for p in mmdia.detach(twin).parameters())


def test_saved_weights_load():
    model = randomize(mmdia.attach(timm_resnet(), RLA)).eval()
    other = mmdia.attach(timm_resnet(), RLA).eval()
    other.load_state_dict(model.state_dict())
    x = images()
    assert torch.equal(other(x), model(x))


def test_layers_are_of_the_kind_of_the_model():
    model = timm_resnet(norm_layer='groupnorm', act_layer='gelu', channels=(32, 32, 64, 64))
    mmdia.attach(model.double().eval(), config('mmdia.MRLALight'))
    for stage in (model.layer1, model.layer4):
        assert type(stage.interaction.act) is type(model.act1) is timm.layers.GELU
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    assert {p.dtype for p in model.parameters()} == {torch.float64}
    assert not any(module.training for module in model.modules())
    with torch.device('meta'):
        model = mmdia.attach(timm_resnet(), DIA)
    assert {p.device.type for p in model.parameters()} == {'meta'}


def test_layers_that_are_replaced_stay_when_the_interaction_goes():
    model = mmdia.attach(timm_resnet(), DIA)
    norm = model.layer1[0].bn1
    model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    model.eval()
    mmdia.detach(model)
    replaced = model.layer1[0].bn1
    assert isinstance(replaced, nn.SyncBatchNorm) and replaced.weight is norm.weight
    assert not model.layer1.training and not model.layer1[0].training


@pytest.mark.parametrize('interaction', (DIA, RLA), ids=('DIALSTM', 'RLA'))
def test_checkpointing(interaction):
    plain = randomize(mmdia.attach(timm_resnet(), interaction)).double()
    saving = mmdia.attach(timm_resnet(), interaction, with_cp=True).double()
    saving.load_state_dict(plain.state_dict())
    x = images(dtype=torch.float64)
    for model in (plain, saving):
        model(x).square().mean().backward()
    for ours, expected in zip(saving.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, expected.grad, rtol=1e-10, atol=1e-12)
    saving.set_grad_checkpointing()
    with pytest.raises(TypeError, match=r'cannot be called one by one.* attach\(.*with_cp=True'):
        saving(x)
    with pytest.raises(ValueError, match=r'set_grad_checkpointing\(False\)'):
        mmdia.attach(mmdia.detach(saving), interaction)


def test_checkpointing_that_the_model_does_goes_on():
    model = MMDetResNet(18, base_channels=8, with_cp=True, norm_eval=False)
    mmdia.attach(model, config('mmdia.DIALSTM')).train()
    passes = []
    model.layer2[0].conv1.register_forward_hook(lambda *_: passes.append(1))
    model(images())[-1].sum().backward()
    assert len(passes) == 2


@needs_compiler
def test_compiles_as_one_graph():
    torch.compiler.reset()
    model = randomize(mmdia.attach(timm_resnet(layers=(1, 1, 1, 1)), RLA)).double().eval()
    x = images(dtype=torch.float64)
    compiled = torch.compile(model, fullgraph=True, backend='eager')
    torch.testing.assert_close(compiled(x), model(x), rtol=1e-10, atol=1e-12)


@pytest.mark.skipif(not hasattr(torch.export, 'Dim'), reason='needs torch.export.Dim')
def test_exports():
    model = randomize(mmdia.attach(timm_resnet(layers=(1, 1, 1, 1)), RLA)).double().eval()
    x = images(dtype=torch.float64)
    batch = torch.export.Dim('batch')
    exported = torch.export.export(model, (x,), dynamic_shapes=({0: batch},)).module()
    more = images(3, dtype=torch.float64)
    torch.testing.assert_close(exported(more), model(more), rtol=1e-10, atol=1e-12)


def test_state_that_is_lost_is_told():
    model = mmdia.attach(timm_resnet(), RLA)
    model.layer1.register_forward_hook(lambda module, args, output: output.clone())
    with pytest.raises(RuntimeError, match='something has replaced, such as a hook'):
        model(images())


def test_forward_leaves_no_state():
    model = mmdia.attach(timm_resnet(), RLA).eval()
    x = images()
    expected = model(x)
    model(images(3, (64, 64)))
    assert torch.equal(model(x), expected)


@pytest.mark.parametrize('name', ('mmdia.RLA', 'mmdia.LayerAggregation'))
def test_interaction_that_is_replaced(name):
    """By what compiles, checkpoints or adapts it; as in our own backbone."""
    model = mmdia.attach(timm_resnet(), config(name)).eval()
    x = images()
    expected = model(x)
    model.interaction = Passing(model.interaction)
    assert torch.equal(model(x), expected) and model.interaction.calls == 5


def norms_of(model):
    interactions = [module.interaction for module in model.modules() if isinstance(module, Stage)]
    return [m for each in interactions for m in each.modules() if isinstance(m, nn.BatchNorm2d)]


def test_norms_are_as_those_of_the_blocks():
    norm_layer = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)
    model = torchvision_resnet(norm_layer=norm_layer)
    norms = norms_of(mmdia.attach(model, config('mmdia.DLALight')))
    assert norms and all((norm.eps, norm.momentum) == (1e-3, 0.01) for norm in norms)


def test_norms_of_a_kind_that_has_no_config():
    frozen = torchvision_resnet(norm_layer=torchvision.ops.FrozenBatchNorm2d)
    assert norms_of(mmdia.attach(frozen, config('mmdia.DLALight')))
    norm_layer = 'layernorm2d'
    mmdia.attach(timm_resnet(norm_layer=norm_layer), DIA)
    cfg = config('mmdia.DLALight', norm_cfg=dict(type='GN', num_groups=2))
    model = mmdia.attach(timm_resnet(norm_layer=norm_layer), cfg)
    assert not norms_of(model) and model(images()).shape == (2, 5)


# What is refused


class OtherBlock(torchvision.models.resnet.BasicBlock):
    def forward(self, x):
        return x


def with_hook(model, name):
    model.get_submodule(name).register_forward_hook(lambda *_: None)
    return model


def with_compiled(model, name):
    """As by ``module.compile()``, which early versions of PyTorch lack."""
    module = model.get_submodule(name)
    module._compiled_call_impl = torch.compile(module._call_impl)
    return model


def with_other_blocks(model, stage):
    setattr(model, stage, nn.Sequential(nn.Conv2d(3, 3, 1)))
    return model


class Passing(nn.Module):
    """A wrapper such as those that compile, checkpoint or adapt a module."""

    def __init__(self, module):
        super().__init__()
        self.module = module
        self.calls = 0

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__('module'), name)

    def forward(self, *args):
        self.calls += 1
        return self.module(*args)


def with_wrapped_stage(model, stage):
    setattr(model, stage, Passing(getattr(model, stage)))
    return model


class Adapter(nn.Module):
    """A layer with something added, as those of adapters of low rank."""

    def __init__(self, layer):
        super().__init__()
        self.base_layer = layer


def with_adapter(model, name):
    parent, _, child = name.rpartition('.')
    setattr(model.get_submodule(parent), child, Adapter(model.get_submodule(name)))
    return model


class Wrapped(nn.parallel.DistributedDataParallel):
    def __init__(self, module):
        nn.Module.__init__(self)
        self.module = module


REFUSED = {
    'interaction of an unknown type': (
        timm_resnet,
        dict(type='mmdia.DIALSTMs'),
        'interaction must',
    ),
    'too few stages': (timm_resnet, DIA, 'stages must be 4 truth values', (True,)),
    'no stages': (timm_resnet, DIA, 'stages must be True for at least one', (False,) * 4),
    'stages of the network': (timm_resnet, RLA, 'stages must be None', (True,) * 4),
    'no ResNet': (lambda: nn.Conv2d(3, 3, 1), DIA, 'model must have one ResNet .* got none'),
    'two': (
        lambda: nn.ModuleDict(dict(query=timm_resnet(), key=timm_resnet())),
        DIA,
        'got 2 of them, query, key: attach to each by itself',
    ),
    'other blocks': (
        lambda: torchvision.models.ResNet(OtherBlock, (1, 1, 1, 1)),
        DIA,
        r'got blocks of another kind, .*test_attach\.OtherBlock',
    ),
    'blocks of Res2Net': (
        lambda: timm.create_model('res2net50_14w_8s'),
        DIA,
        r'blocks of another kind, timm\.models\.res2net\.Bottle2neck',
    ),
    'other blocks in a later stage': (
        lambda: with_other_blocks(timm_resnet(), 'layer3'),
        DIA,
        r'layer3\.0 must be a block of a ResNet of .*, got a torch\.nn\.modules\.conv\.Conv2d',
        (False, False, True, False),
    ),
    'attached': (lambda: mmdia.attach(timm_resnet(), DIA), DIA, r'interaction yet.* detach\(model'),
    'ours': (lambda: ResNet(18, base_channels=8), DIA, 'backbones of mmdia have an argument'),
    'wrapped': (lambda: Wrapped(timm_resnet()), DIA, 'must not be wrapped yet, got a Wrapped'),
    'hook on a stage': (lambda: with_hook(timm_resnet(), 'layer1'), DIA, 'layer1 has hooks'),
    'hook on a block': (lambda: with_hook(timm_resnet(), 'layer2.0'), DIA, r'layer2\.0 has hooks'),
    'hook on an activation': (
        lambda: with_hook(timm_resnet(), 'layer1.0.act2'),
        DIA,
        r'layer1\.0\.act2 has hooks',
    ),
    'compiled stage': (lambda: with_compiled(timm_resnet(), 'layer1'), DIA, 'layer1 has hooks or'),
    'compiled block': (lambda: with_compiled(timm_resnet(), 'layer2.0'), DIA, r'layer2\.0 has'),
    'wrapped stage': (
        lambda: with_wrapped_stage(timm_resnet(), 'layer3'),
        DIA,
        'layer3 must be a sequence of blocks, got a Passing: attach the interaction first',
    ),
    'other norms': (
        lambda: timm_resnet(norm_layer='layernorm2d'),
        config('mmdia.DLALight'),
        'interaction must have a norm_cfg for blocks with a LayerNorm2d, got a DLALight',
    ),
    'fused norms': (
        lambda: fuse_conv_bn(timm_resnet().eval()),
        config('mmdia.MRLABase'),
        'interaction must have a norm_cfg for blocks with a Identity, got a MRLABase',
    ),
    'replaced norm': (
        lambda: with_adapter(timm_resnet(), 'layer1.1.bn2'),
        config('mmdia.LayerAggregation'),
        'interaction must have a norm_cfg for blocks with a Adapter, got a LayerAggregation',
    ),
    'replaced convolution': (
        lambda: with_adapter(timm_resnet(), 'layer2.0.conv1'),
        DIA,
        r'layer2\.0\.conv1 must be a convolution, got a Adapter: attach the interaction first',
    ),
    'DropBlock': (
        lambda: timm_resnet(drop_block_rate=0.1),
        DIA,
        r"layer3\.0 must have no layer 'drop_block', got a DropBlock2d",
    ),
    'PReLU': (lambda: timm_resnet(act_layer='prelu'), DIA, 'one kind of activation, without wei'),
    'more channels': (
        timm_resnet,
        config('mmdia.LayerAggregation', append_state=True),
        'must not change the number of channels.* adds 4',
    ),
    'extra norm': (timm_resnet, dict(DIA, extra_norm=True), 'identity_init=True needs extra_norm'),
}


@pytest.mark.parametrize('case', REFUSED)
def test_is_refused_and_leaves_the_model_as_it_was(case):
    build, interaction, message, *stages = REFUSED[case]
    model = build()
    modules = dict(model.named_modules())
    with pytest.raises(ValueError, match=message):
        mmdia.attach(model, interaction, *stages)
    assert dict(model.named_modules()) == modules


def test_detaching_is_refused():
    with pytest.raises(ValueError, match='model must have an interaction from attach, got none'):
        mmdia.detach(timm_resnet())
    model = with_hook(mmdia.attach(timm_resnet(), DIA), 'layer3')
    with pytest.raises(ValueError, match='layer3 has hooks'):
        mmdia.detach(model)
    assert isinstance(model.layer1, Stage)
    with pytest.raises(ValueError, match=r'layer2\.0 has hooks or a patched or compiled'):
        mmdia.detach(with_compiled(mmdia.attach(timm_resnet(), DIA), 'layer2.0'))
    for interaction in (DIA, RLA):
        model = mmdia.attach(timm_resnet(), interaction)
        model.layer2 = torch.compile(model.layer2)
        with pytest.raises(ValueError, match=r'stages must not be compiled.*_orig_mod'):
            mmdia.detach(model)
        assert isinstance(model.layer1, Stage)
        model.layer2 = model.layer2._orig_mod
        assert not any(isinstance(module, Stage) for module in mmdia.detach(model).modules())


@pytest.mark.parametrize('function', (mmdia.attach, mmdia.detach))
def test_model_of_a_wrong_type(function):
    with pytest.raises(TypeError, match='model must be Module, got'):
        function('resnet18', *([DIA] if function is mmdia.attach else []))
