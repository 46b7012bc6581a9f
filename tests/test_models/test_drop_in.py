"""Our ResNet in the place of the other libraries': arguments, attributes, defaults, weights."""

from functools import partial

import numpy as np
import pytest
import timm
import torch
from mmdet.models import ResNet as MMDetResNet
from mmengine.registry import DefaultScope, init_default_scope
from mmpretrain.models import SEResNet as MMPretrainSEResNet
from mmpretrain.models import SEResNeXt as MMPretrainSEResNeXt
from torch import nn
from torch._subclasses import FakeTensorMode
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

from mmdia.models import (
    CIFARResNet,
    DIAResNet,
    LayerInteraction,
    PreResNet,
    ResNet,
    ResNet_CIFAR,
    ResNetV1c,
    ResNetV1d,
    ResNeXt,
    SEResNet,
    WideResNet,
    list_attentions,
)
from mmdia.registry import MODELS

from ..helpers import INTERACTIONS, randomize, slim_resnet
from ..helpers import SLIM as INTERACTION_SIZES
from .test_attentions import SLIM as ATTENTION_SIZES

SLIM = dict(depth=50, base_channels=8)
DCN = dict(type='DCNv2', deform_groups=1)
CONTEXT = dict(cfg=dict(type='ContextBlock', ratio=1 / 4), position='after_conv3')


def plugin(position='after_conv3', **cfg):
    return dict(cfg=dict(type='mmdia.SE', ratio=2, **cfg), position=position)


def pretrained(path, content, **kwargs):
    torch.save(content, path)
    return dict(type='Pretrained', checkpoint=str(path), **kwargs)


# Defaults


@pytest.mark.parametrize(
    ('scope', 'levels', 'norm_eval', 'stem'),
    ((None, 1, False, 8), ('mmpretrain', 1, False, 64), ('mmdet', 4, True, 8)),
)
def test_defaults_are_those_of_the_library_that_builds(scope, levels, norm_eval, stem):
    if scope:
        init_default_scope(scope)
    model = MODELS.build(dict(type='mmdia.ResNet', **SLIM))
    assert len(model.out_indices) == levels and model.norm_eval == norm_eval
    assert model.conv1.out_channels == stem
    # Configs that inherit from ours have our scope, and build in the same library.
    with DefaultScope.overwrite_default_scope('mmdia'):
        assert ResNet(**SLIM).out_indices == model.out_indices
    # One part of a model may come from another library.
    other = MODELS.build(dict(type='mmdia.ResNet', _scope_='mmpretrain', **SLIM))
    assert other.out_indices == (3,) and not other.norm_eval


def test_groups_are_those_of_the_library_that_builds():
    assert ResNeXt(50).layer1[0].groups == 32
    init_default_scope('mmdet')
    assert ResNeXt(50).layer1[0].groups == 1


# Arguments


@pytest.mark.parametrize(
    ('cls', 'args', 'message'),
    (
        (ResNet, dict(depth=18, dcn=DCN), 'dcn needs blocks with bottlenecks'),
        (ResNet, dict(depth=18, plugins=[plugin()]), 'plugins needs blocks with bottlenecks'),
        (ResNet, dict(depth=18, expansion=2), 'expansion needs blocks with bottlenecks, got 2'),
        (ResNet, dict(depth=50, expansion=0), 'expansion must be .*, got 0'),
        (
            ResNet,
            dict(depth=50, dcn=dict(DCN, fallback_on_stride=True)),
            'fallback_on_stride of dcn must be False.* stage_with_dcn says',
        ),
        (ResNet, dict(depth=50, dcn=dict(type='DCNv9')), 'dcn must be .* registered layer'),
        (ResNet, dict(depth=50, dcn=DCN, conv_cfg=dict(type='ConvWS')), 'conv_cfg must be None'),
        (ResNet, dict(depth=50, dcn=DCN, stage_with_dcn=(True,)), 'stage_with_dcn must be 4 truth'),
        (ResNet, dict(depth=50, base_width=4, width_per_group=4), 'two names of one argument'),
        (ResNet, dict(depth=50, pretrained='a', init_cfg=dict(type='Normal')), 'pretrained must'),
        (ResNet, dict(depth=50, multi_grid=(1, 2)), 'multi_grid must be 3 integers'),
        (
            ResNet,
            dict(depth=50, dilations=(1, 1, 1, (1, 2))),
            'dilations must be 4 integers .* block',
        ),
        (ResNet, dict(depth=50, plugins=[plugin('before_conv1')]), 'position of a plugin must be'),
        (ResNet, dict(depth=50, plugins=[dict(cfg=dict(type='SE'))]), 'plugins must be a sequence'),
        (ResNet, dict(depth=50, plugins=[plugin(), plugin()]), "called 'se': give .* a postfix"),
        (ResNet, dict(depth=50, plugins=[plugin(ratios=3)]), 'cfg of a plugin must be .*ratios'),
        (PreResNet, dict(depth=20, plugins=[plugin()]), 'plugins must be None in pre-activation'),
        (SEResNet, dict(depth=50, interaction=dict(type='mmdia.RLA')), 'SEResNet has SE; with an'),
        (ResNeXt, dict(depth=18), r'depth must be one of \(50, 101, 152\), got 18'),
        (ResNet_CIFAR, dict(depth=18, deep_stem=True), 'small_stem and deep_stem'),
    ),
)
def test_argument_is_refused(cls, args, message):
    with pytest.raises(ValueError, match=message):
        cls(**args)


@pytest.mark.parametrize(('trunk', 'depth'), ((ResNet, 18), (PreResNet, 20)))
def test_an_empty_list_of_plugins(trunk, depth):
    """Networks that cannot have plugins take it as well."""
    given = trunk(depth=depth, base_channels=8, plugins=[])
    assert given.state_dict().keys() == trunk(depth=depth, base_channels=8).state_dict().keys()


def test_relatives_are_resnets_with_arguments():
    def names(model):
        return {key: value.shape for key, value in model.state_dict().items()}

    for relative, args in (
        (ResNetV1c(**SLIM), dict(deep_stem=True)),
        (ResNetV1d(**SLIM), dict(deep_stem=True, avg_down=True)),
        (ResNeXt(groups=2, **SLIM), dict(groups=2, base_width=4)),
        (ResNet_CIFAR(**SLIM), dict(small_stem=True)),
        (SEResNet(se_ratio=2, **SLIM), dict(interaction=dict(type='mmdia.BlockAttention'))),
    ):
        if 'interaction' in args:
            args['interaction']['attention'] = dict(type='mmdia.SE', ratio=2)
        assert names(relative) == names(ResNet(**SLIM, **args))
    assert ResNetV1c(**SLIM, interaction=dict(type='mmdia.DIALSTM', ratio=4)).interactions()


@pytest.mark.parametrize('position', ('after_conv1', 'after_conv2', 'after_conv3'))
@torch.no_grad()
def test_our_attentions_are_plugins_anywhere(position):
    plugins = [
        dict(plugin(position, postfix='_a'), stages=(True, False, False, True)),
        dict(plugin(position, postfix='_b'), stages=(False, False, False, True)),
    ]
    args = dict(**SLIM, plugins=plugins, out_indices=(0, 1, 2, 3))
    ours, theirs = ResNet(**args), MMDetResNet(**args)
    ours.load_state_dict(randomize(theirs).state_dict())
    theirs.eval()
    images = torch.randn(2, 3, 33, 64)
    for level, expected in zip(ours.eval()(images), theirs(images), strict=True):
        assert torch.equal(level, expected)


@pytest.mark.parametrize('interaction', ('mmdia.DIALSTM', 'mmdia.RLA', 'mmdia.LayerAggregation'))
def test_plugins_and_deformable_convolutions_learn_beside_interactions(interaction):
    model = slim_resnet(
        interaction,
        50,
        dcn=DCN,
        stage_with_dcn=(False, False, True, True),
        plugins=[CONTEXT],
        zero_init_residual=False,
    ).train()
    for parameter in model.parameters():
        nn.init.normal_(parameter, 0, 0.1)
    model(torch.randn(2, 3, 64, 64))[0].square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        if 'conv_offset' in name or name.endswith('channel_add_conv.3.weight'):
            assert parameter.grad.any(), name


def test_plain_trunk_loads_beneath_plugins_and_offsets(tmp_path):
    init_cfg = pretrained(tmp_path / 'a.pth', ResNet(**SLIM).state_dict())
    args = dict(**SLIM, dcn=DCN, stage_with_dcn=(False, False, False, True), plugins=[CONTEXT])
    model = ResNet(**args, init_cfg=init_cfg)
    model.init_weights()
    state = model.state_dict()
    state.pop('layer4.0.conv2.conv_offset.bias')
    model = ResNet(**args, init_cfg=pretrained(tmp_path / 'b.pth', state))
    with pytest.raises(ValueError, match=r'layer4\.0\.conv2\.conv_offset\.bias: missing'):
        model.init_weights()


# Attributes


def test_attributes():
    assert not hasattr(ResNet(18).layer1[0], 'norm3')
    model = ResNet(**SLIM, norm_cfg=dict(type='GN', num_groups=2))
    assert model.norm1 is model.gn1 and not model.deep_stem
    assert model.feat_dim == model.layer4[-1].out_channels == 256
    assert len(model.layer1) == 3 and model.layer1[0].norm3 is model.layer1[0].gn3
    assert not hasattr(ResNet(**SLIM, deep_stem=True), 'norm1')
    args = dict(type='mmdia.LayerAggregation', state_channels=4, append_state=True)
    model = ResNet(**SLIM, interaction=args).eval()
    assert model(torch.rand(1, 3, 32, 32))[0].shape[1] == model.feat_dim == 260
    model.interaction = checkpoint_wrapper(model.interaction)
    assert model(torch.rand(1, 3, 32, 32))[0].shape[1] == model.feat_dim == 260


def test_stages_as_an_array():
    chosen = np.array((True, False, False, True))
    model = DIAResNet(18, base_channels=8, ratio=4, stages=chosen)
    assert [type(each) is not LayerInteraction for each in model.interactions()] == list(chosen)


@pytest.mark.parametrize('interaction', INTERACTIONS)
def test_networks_of_fake_tensors(interaction):
    """Tools that plan memory or sharding build networks without values."""
    cfg = dict(type=interaction, **INTERACTION_SIZES.get(interaction, {}))
    with FakeTensorMode():
        model = ResNet(18, cfg, base_channels=8).train()
        (out,) = model(torch.rand(2, 3, 64, 64))
        out.sum().backward()
    assert out.shape == (2, 64, 2, 2) and all(p.grad is not None for p in model.parameters())


MEMORY = dict(type='mmdia.DSUCell', ratio=2, initial_memory='random')


@pytest.mark.parametrize(
    'interaction',
    (
        *(dict(type=name, **INTERACTION_SIZES.get(name, {})) for name in INTERACTIONS),
        *(
            dict(
                type='mmdia.SharedAttention',
                attention=dict(type=name, **ATTENTION_SIZES.get(name, {})),
            )
            for name in list_attentions()
        ),
        dict(type='mmdia.LII', cell=MEMORY),
    ),
    ids=str,
)
def test_first_values_of_networks_built_without_values(interaction):
    """Whoever builds them on the meta device calls ``reset_parameters``, as FSDP does."""

    def reset(module):
        own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        if own or hasattr(module, 'reset_parameters'):
            module.reset_parameters()

    build = partial(ResNet, 18, interaction, base_channels=8)
    with torch.device('meta'):
        model = build()
    model.to_empty(device='cpu')
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.fill_(99)
    model.apply(reset)
    state = model.state_dict()
    for name, expected in build().state_dict().items():
        assert (state[name] != 99).all(), name
        ours = type(model.get_submodule(name.rpartition('.')[0])).__module__.startswith('mmdia.')
        if ours and expected.unique().numel() == 1:
            assert torch.equal(state[name], expected), name


@pytest.mark.parametrize('interaction', INTERACTIONS)
def test_parameters_that_move_when_they_are_registered(interaction, monkeypatch):
    """To the meta device, as accelerate's ``init_empty_weights`` does."""
    register = nn.Module.register_parameter

    def register_on_meta(module, name, parameter):
        if parameter is not None:
            parameter = nn.Parameter(parameter.to('meta'), parameter.requires_grad)
        register(module, name, parameter)

    monkeypatch.setattr(nn.Module, 'register_parameter', register_on_meta)
    cfg = dict(type=interaction, **INTERACTION_SIZES.get(interaction, {}))
    model = ResNet(18, cfg, base_channels=8)
    assert all(parameter.is_meta for parameter in model.parameters())


# Weights


@pytest.mark.parametrize(
    ('model', 'zero'),
    (
        (WideResNet(10, 1, interaction=dict(type='mmdia.DIALSTM', ratio=4)), True),
        (CIFARResNet(11, groups=2, interaction=dict(type='mmdia.DIALSTM', ratio=4)), True),
        (CIFARResNet(11, interaction=dict(type='mmdia.DIALSTM', ratio=4)), False),
    ),
    ids=('WRN', 'ResNeXt', 'ResNet'),
)
def test_linear_biases_start_as_in_released_code(model, zero):
    model.init_weights()
    for name, parameter in model.named_parameters():
        if 'gates' in name and name.endswith('.bias'):
            assert (not parameter.any()) == zero, name


SE = dict(type='mmdia.SE')
ATTENDED = {
    'seresnet50': (dict(), SE),
    'seresnext50_32x4d': (dict(groups=32, base_width=4), SE),
    'ecaresnet50d': (dict(deep_stem=True, avg_down=True), dict(type='mmdia.ECA')),
}


@pytest.mark.parametrize('name', ATTENDED)
@torch.no_grad()
def test_attended_weights_of_timm(name, tmp_path):
    theirs = randomize(timm.create_model(name)).double().eval()
    args, attention = ATTENDED[name]
    model = ResNet(
        50,
        dict(type='mmdia.BlockAttention', attention=attention),
        **args,
        frozen_stages=4,
        init_cfg=pretrained(tmp_path / 'a.pth', dict(model=theirs.state_dict())),
    ).double()
    model.init_weights()
    images = torch.randn(2, 3, 33, 33, dtype=torch.float64)
    expected = theirs.forward_features(images)
    torch.testing.assert_close(model.eval()(images)[0], expected, rtol=1e-12, atol=1e-12)
    # Their attention counts as trained: it is frozen with its stage.
    assert not any(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize('cls', (MMPretrainSEResNet, MMPretrainSEResNeXt))
@torch.no_grad()
def test_attended_weights_of_mmpretrain(cls, tmp_path):
    init_default_scope('mmpretrain')
    theirs = randomize(cls(50, base_channels=32)).double()
    theirs.eval()
    state = {f'backbone.{key}': value for key, value in theirs.state_dict().items()}
    init_cfg = pretrained(tmp_path / 'a.pth', dict(state_dict=state))
    ours = MODELS.build(
        dict(type=f'mmdia.{cls.__name__}', depth=50, base_channels=32, init_cfg=init_cfg)
    )
    ours.init_weights()
    images = torch.randn(2, 3, 33, 64, dtype=torch.float64)
    level = ours.double().eval()(images)[0]
    torch.testing.assert_close(level, theirs(images)[0], rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_attended_weights_of_mmdetection(tmp_path):
    context = dict(cfg=dict(type='ContextBlock', ratio=1 / 4), position='after_conv3')
    theirs = MMDetResNet(50, base_channels=16, stem_channels=16, plugins=[context])
    randomize(theirs).double().eval()
    for name, parameter in theirs.named_parameters():
        if 'context_block' in name:  # what it adds starts at zero
            nn.init.normal_(parameter, 0, 0.5)
    ours = ResNet(
        50,
        dict(type='mmdia.BlockAttention', attention=dict(type='mmdia.GC', ratio=4)),
        base_channels=16,
        init_cfg=pretrained(tmp_path / 'a.pth', theirs.state_dict()),
    ).double()
    ours.init_weights()
    images = torch.randn(2, 3, 33, 64, dtype=torch.float64)
    level = ours.eval()(images)[0]
    torch.testing.assert_close(level, theirs(images)[-1], rtol=1e-12, atol=1e-12)


CBAM = dict(type='mmdia.BlockAttention', attention=dict(type='mmdia.CBAM', bias=False))


def test_attention_of_another_formula_is_told(tmp_path, monkeypatch):
    """timm's CBAM has a norm where ours, which is that of the paper, has none."""
    told = []
    monkeypatch.setattr(
        'mmdia.models.utils.pretrained.print_log', lambda text, **kwargs: told.append(text)
    )
    theirs = timm.create_model('resnet50', block_args=dict(attn_layer='cbam'))
    init_cfg = pretrained(tmp_path / 'a.pth', theirs.state_dict())
    model = ResNet(50, CBAM, init_cfg=init_cfg)
    model.init_weights()
    assert torch.equal(model.conv1.weight, theirs.conv1.weight)
    assert 'no place, such as layer1.0.se.channel.fc1.weight. They are left out' in told[-1]


def test_another_network_is_refused_by_the_names_of_its_weights(tmp_path):
    init_cfg = pretrained(tmp_path / 'a.pth', timm.create_model('gcresnet33ts').state_dict())
    with pytest.raises(ValueError, match=r'of another network.*: stem\.conv1\.conv\.weight, '):
        ResNet(50, init_cfg=init_cfg).init_weights()


@pytest.mark.parametrize('prefix', ('module.encoder_q', 'module.encoder_q.', 'encoder_q'))
def test_prefix_of_self_supervised_checkpoints(prefix, tmp_path):
    trunk = randomize(ResNet(**SLIM))
    state = {f'module.encoder_q.{key}': value for key, value in trunk.state_dict().items()}
    init_cfg = pretrained(tmp_path / 'a.pth', dict(state_dict=state), prefix=prefix)
    model = ResNet(**SLIM, init_cfg=init_cfg)
    model.init_weights()
    assert torch.equal(model.bn1.running_mean, trunk.bn1.running_mean)


@pytest.mark.parametrize('deep_stem', (False, True))
@pytest.mark.parametrize('channels', (1, 2, 4, 7))
def test_first_convolution_for_other_images(channels, deep_stem, tmp_path):
    name = 'stem.0.conv.weight' if deep_stem else 'conv1.weight'
    args = dict(**SLIM, deep_stem=deep_stem)
    trunk = ResNet(**args).state_dict()

    def load(**kwargs):
        init_cfg = pretrained(tmp_path / 'a.pth', trunk, **kwargs)
        model = ResNet(**args, in_channels=channels, init_cfg=init_cfg)
        fresh = model.state_dict()[name].clone()
        model.init_weights()
        return model.state_dict()[name], fresh

    with pytest.raises(ValueError, match=rf"{name}: .* first_conv='adapt' or 'skip'"):
        load()
    weight, fresh = load(first_conv='skip')
    assert torch.equal(weight, fresh)
    weight, _ = load(first_conv='adapt')
    expected = timm.models.adapt_input_conv(channels, trunk[name])
    torch.testing.assert_close(weight, expected)
    with pytest.raises(ValueError, match='first_conv must be one of'):
        load(first_conv='sum')


@pytest.mark.parametrize('init_cfg', ({}, []))
def test_empty_init_cfg_initializes_nothing(init_cfg):
    model = DIAResNet(**SLIM, ratio=4, init_cfg=init_cfg)
    before = model.conv1.weight.clone()
    model.init_weights()
    assert torch.equal(model.conv1.weight, before)
