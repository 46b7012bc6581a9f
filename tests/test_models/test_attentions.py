"""Attentions compute what their papers say, alone, a block and shared by a stage."""

import copy

import numpy as np
import pytest
import torch
from mmcv.cnn import build_plugin_layer
from mmdet.models.backbones import ResNet as MMDetResNet
from mmengine.registry import init_default_scope
from torch import nn

from mmdia.models import BlockAttention, SharedAttention, list_attentions
from mmdia.models.attentions import Attention, build_attention
from mmdia.registry import MODELS

from ..attention_restatements import ATTENTIONS as RESTATEMENTS
from ..helpers import needs_compiler, randomize

ATTENTIONS = list_attentions()
# Arguments with which an attention fits 8 channels.
SLIM = {
    'mmdia.CBAM': dict(ratio=2),
    'mmdia.GC': dict(ratio=2),
    'mmdia.SE': dict(ratio=2),
    'mmdia.SEM': dict(ratio=2),
    'mmdia.SGE': dict(groups=4),
    'mmdia.SPA': dict(ratio=2),
}
GATES = sorted(set(ATTENTIONS) - {'mmdia.GC', 'mmdia.NonLocal'})
# Norms with statistics, and so one a block where blocks share a module.
NORMED = {'mmdia.SRM'}

each_attention = pytest.mark.parametrize('name', ATTENTIONS)
each_mode = pytest.mark.parametrize('mode', (BlockAttention, SharedAttention))


def slim(name, num_blocks=1, **kwargs):
    """An attention of 8 channels."""
    return build_attention(dict(type=name, **SLIM.get(name, {}), **kwargs), 8, num_blocks)


def slim_interaction(mode, name, num_blocks=3, **kwargs):
    """An interaction of 8 channels, initialised."""
    attention = dict(type=name, **SLIM.get(name, {}))
    interaction = mode(8, num_blocks, attention=attention, **kwargs)
    interaction.init_weights()
    return interaction


@torch.no_grad()
def scramble(module):
    """Random weights and statistics, so that no zero hides an error."""
    randomize(module)
    for parameter in module.parameters():
        parameter.normal_(0, 0.5)
    return module


def count(module):
    return sum(p.numel() for p in module.parameters())


def numpy_weights(module):
    return {name: value.numpy() for name, value in module.state_dict().items()}


def test_all_are_tested():
    assert set(ATTENTIONS) == set(RESTATEMENTS)


@torch.no_grad()
@pytest.mark.parametrize('size', ((6, 5), (3, 2), (1, 1), (8, 8)))
@each_attention
def test_equals_restatement(name, size):
    module = scramble(slim(name, num_blocks=2)).double().eval()
    x = torch.randn(3, 8, *size, dtype=torch.float64)
    for index in range(2):
        expected = RESTATEMENTS[name](numpy_weights(module), x.numpy(), index)
        np.testing.assert_allclose(module(x, index).numpy(), expected, rtol=1e-10, atol=1e-10)


@torch.no_grad()
@pytest.mark.parametrize('channels', (64, 96))
@each_attention
def test_default_arguments_equal_restatement(name, channels):
    module = build_attention(dict(type=name, **({'groups': 32} if 'SGE' in name else {})), channels)
    scramble(module).double().eval()
    x = torch.randn(2, channels, 5, 7, dtype=torch.float64)
    expected = RESTATEMENTS[name](numpy_weights(module), x.numpy(), 0)
    np.testing.assert_allclose(module(x).numpy(), expected, rtol=1e-10, atol=1e-10)


@torch.no_grad()
@each_mode
@each_attention
def test_interaction_equals_restatement(name, mode):
    interaction = scramble(slim_interaction(mode, name)).double().eval()
    weights = numpy_weights(interaction)
    for index in range(3):
        branch, identity = torch.randn(2, 2, 8, 5, 6, dtype=torch.float64)
        prefix = 'attention.' if mode is SharedAttention else f'attentions.{index}.'
        own = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        number = index if mode is SharedAttention else 0
        attended = RESTATEMENTS[name](own, branch.numpy(), number)
        expected = np.maximum(identity.numpy() + weights['gate_scale'] * attended, 0)
        out, state = interaction(branch, identity, None, index)
        assert state is None
        np.testing.assert_allclose(out.numpy(), expected, rtol=1e-10, atol=1e-10)


@each_attention
def test_gradients_are_exact(name):
    module = scramble(slim(name)).double().train()
    parameters = dict(module.named_parameters())
    inputs = torch.randn(2, 8, 3, 2, dtype=torch.float64, requires_grad=True)

    def function(x, *values):
        return torch.func.functional_call(module, dict(zip(parameters, values)), (x,))

    assert torch.autograd.gradcheck(function, (inputs, *parameters.values()), fast_mode=True)


@each_attention
def test_shared_parameters_do_not_grow_with_depth(name):
    one, many = (slim_interaction(SharedAttention, name, num_blocks=n) for n in (1, 5))
    norms = [m for m in many.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == (5 if name in NORMED else 0)
    grown = sum(map(count, norms[1:]))
    assert count(many) - grown == count(one)
    assert count(slim_interaction(BlockAttention, name, num_blocks=5)) == 5 * count(one)


@pytest.mark.parametrize('name', sorted(NORMED))
def test_each_block_has_its_own_statistics(name):
    module = slim(name, num_blocks=3).train()
    before = copy.deepcopy(module.norms)
    module(torch.randn(4, 8, 5, 5), 1)
    tracked = [norm.num_batches_tracked.item() for norm in module.norms]
    assert tracked == [0, 1, 0]
    assert torch.equal(module.norms[2].running_mean, before[2].running_mean)
    assert not torch.equal(module.norms[1].running_mean, before[1].running_mean)


@torch.no_grad()
@pytest.mark.parametrize('training', (False, True))
@pytest.mark.parametrize('dtype', (torch.float32, torch.bfloat16))
@each_mode
@each_attention
def test_identity_init_is_the_plain_sum(name, mode, dtype, training):
    interaction = slim_interaction(mode, name, identity_init=True).to(dtype).train(training)
    for index in range(3):
        branch, identity = torch.randn(2, 4, 8, 5, 7, dtype=dtype)
        out, _ = interaction(branch, identity, None, index)
        assert torch.equal(out, torch.relu(identity + branch))


@each_mode
@each_attention
def test_identity_init_learns(name, mode):
    interaction = slim_interaction(mode, name, identity_init=True).train()
    optimizer = torch.optim.SGD(interaction.parameters(), lr=0.1)
    for _ in range(4):
        optimizer.zero_grad()
        x = torch.randn(16, 8, 5, 7)
        for index in range(3):
            branch = torch.randn(16, 8, 5, 7) + 2 * torch.randn(16, 8, 1, 1)
            x, _ = interaction(branch, x, None, index)
        (x * torch.randn_like(x)).mean().backward()
        optimizer.step()
    for parameter_name, parameter in interaction.named_parameters():
        assert torch.isfinite(parameter.grad).all(), parameter_name
        # A constant before a softmax or a layer norm has no effect.
        if not parameter_name.endswith(('conv_mask.bias', 'phi.conv.bias')):
            assert parameter.grad.abs().max() > 0, parameter_name


@torch.no_grad()
@each_attention
def test_init_below_a_backbone_is_that_of_the_paper(name):
    # A backbone's own config initialises all convolutions and norms.
    init_cfg = [
        dict(type='Kaiming', layer='Conv2d'),
        dict(type='Constant', val=1, layer=['_BatchNorm', 'GroupNorm', 'LayerNorm']),
    ]
    expected = {'mmdia.GC': 1, 'mmdia.NonLocal': 1}
    interaction = slim_interaction(BlockAttention, name, init_cfg=init_cfg).eval()
    x = torch.randn(2, 8, 5, 5)
    out = interaction.attentions[0](x)
    if name in expected:
        assert torch.equal(out, x)
    if name == 'mmdia.SGE':
        torch.testing.assert_close(out, x * torch.sigmoid(torch.tensor(1.0)))
    if name == 'mmdia.SPEM':
        torch.testing.assert_close(out, x * torch.tensor([-2.0, -1.0]).sigmoid().prod())


@pytest.mark.parametrize('dtype', (torch.bfloat16, torch.float16))
@each_attention
def test_autocast(name, dtype):
    module = scramble(slim(name)).train()
    x = torch.randn(2, 8, 9, 7).to(dtype).requires_grad_()
    with torch.autocast('cpu', dtype=dtype):
        out = module(x)
    out.float().square().mean().backward()
    assert out.dtype == dtype and torch.isfinite(out).all()
    assert torch.isfinite(x.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in module.parameters())


@torch.no_grad()
@pytest.mark.parametrize('name', GATES)
def test_gates_ignore_autocast(name):
    module = scramble(slim(name)).eval()
    x = torch.rand(2, 8, 64, 64) + 1
    x = x.to(torch.bfloat16)
    expected = module(x.float())
    with torch.autocast('cpu', dtype=torch.bfloat16):
        out = module(x)
    # The map is rounded once a product, the gates are not; the second gate of
    # CBAM reads the rounded product of the first.
    rtol = 0.1 if name == 'mmdia.CBAM' else 2**-7
    torch.testing.assert_close(out.float(), expected, rtol=rtol, atol=0)


@torch.no_grad()
@pytest.mark.parametrize('name', GATES)
def test_pooling_does_not_overflow(name):
    module = scramble(slim(name)).eval()
    x = torch.full((2, 8, 64, 64), 300.0).half()
    x[:, :, ::2] = -290
    with torch.autocast('cpu', dtype=torch.float16):
        assert torch.isfinite(module(x)).all()


@torch.no_grad()
@pytest.mark.parametrize('dtype', (torch.bfloat16, torch.float16))
@each_attention
def test_half_precision(name, dtype):
    module = scramble(slim(name)).eval()
    x = torch.randn(2, 8, 9, 7).to(dtype)
    expected = module(x.float())
    out = module.to(dtype)(x)
    assert out.dtype == dtype
    torch.testing.assert_close(out.float(), expected, rtol=0.1, atol=0.1)


@torch.no_grad()
@pytest.mark.parametrize('size', ((1, 1), (1, 3), (3, 3), (17, 5)))
@each_attention
def test_odd_sizes(name, size):
    module = scramble(slim(name)).eval()
    x = torch.randn(1, 8, *size)
    out = module(x)
    assert out.shape == x.shape and torch.isfinite(out).all()
    last = module(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(last, out)


@each_attention
def test_constant_map_has_finite_gradients(name):
    module = scramble(slim(name)).train()
    x = torch.zeros(2, 8, 4, 4, requires_grad=True)
    module(x).sum().backward()
    assert torch.isfinite(x.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in module.parameters())


@torch.no_grad()
@each_attention
def test_samples_are_independent_and_nothing_is_kept(name):
    module = scramble(slim(name)).double().eval()
    batch = torch.randn(3, 8, 5, 7, dtype=torch.float64)
    before = batch.clone()
    together = module(batch)
    assert torch.equal(batch, before)
    for x, expected in zip(batch, together):
        torch.testing.assert_close(module(x[None])[0], expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(module(batch), together)


@needs_compiler
@each_mode
@each_attention
def test_compiles_as_one_graph(name, mode):
    torch.compiler.reset()
    interaction = scramble(slim_interaction(mode, name)).double().eval()
    compiled = torch.compile(interaction, fullgraph=True, backend='eager')
    branch, identity = torch.randn(2, 2, 8, 5, 7, dtype=torch.float64)
    expected = interaction(branch, identity, None, 1)[0]
    torch.testing.assert_close(compiled(branch, identity, None, 1)[0], expected)


@each_attention
def test_plugin_of_mmcv(name):
    init_default_scope('mmdet')
    cfg = dict(type=name, **SLIM.get(name, {}))
    key, module = build_plugin_layer(cfg, in_channels=8, postfix='_after')
    assert isinstance(module, Attention) and key.endswith('_after') and key.isidentifier()
    assert module(torch.randn(2, 8, 5, 5)).shape == (2, 8, 5, 5)


@pytest.mark.parametrize('position', ('after_conv2', 'after_conv3'))
def test_plugin_of_mmdet(position):
    init_default_scope('mmdet')
    plugins = [
        dict(cfg=dict(type='mmdia.SE', ratio=4), position=position),
        dict(
            cfg=dict(type='mmdia.SRM'),
            stages=(False, True, False, False),
            position=position,
        ),
    ]
    model = MMDetResNet(50, base_channels=8, plugins=plugins)
    model.init_weights()
    found = [m for m in model.modules() if isinstance(m, Attention)]
    assert len(found) == 16 + 4
    sum(level.sum() for level in model(torch.randn(2, 3, 65, 97))).backward()
    assert all(p.grad is not None for m in found for p in m.parameters())


@pytest.mark.parametrize('scope', ('mmdet', 'mmpretrain', 'mmengine'))
@each_mode
def test_attention_is_found_from_any_scope(mode, scope):
    init_default_scope(scope)
    for attention in (dict(type='mmdia.ECA'), dict(type='ECA'), dict(type=MODELS.get('ECA'))):
        interaction = MODELS.build(
            dict(
                type=f'mmdia.{mode.__name__}',
                channels=8,
                num_blocks=2,
                attention=attention,
            )
        )
        assert 'ECA' in {type(module).__name__ for module in interaction.modules()}


def test_norms_are_those_of_the_trunk():
    interaction = BlockAttention(
        8, 1, attention=dict(type='mmdia.SRM'), norm_cfg=dict(type='BN', eps=1e-3)
    )
    assert interaction.attentions[0].norms[0].eps == 1e-3
    own = dict(type='mmdia.SRM', norm_cfg=dict(type='GN', num_groups=2))
    interaction = BlockAttention(8, 1, attention=own, norm_cfg=dict(type='BN'))
    assert isinstance(interaction.attentions[0].norms[0], nn.GroupNorm)


@pytest.mark.parametrize(
    ('cfg', 'error', 'message'),
    (
        (dict(type='SE', ratio=0), ValueError, 'ratio must be an integer .*, got 0'),
        (dict(type='SE', ratio=65), ValueError, 'ratio must be at most .* 64, got 65'),
        (dict(type='SE', ratio=1.5), TypeError, 'ratio must be an integer .* got 1.5'),
        (dict(type='CBAM', ratio=65), ValueError, 'ratio must be at most .* 64, got 65'),
        (dict(type='CBAM', kernel_size=6), ValueError, 'kernel_size must be odd, got 6'),
        (dict(type='ECA', kernel_size=4), ValueError, 'kernel_size must be odd, got 4'),
        (dict(type='ECA', kernel_size=-3), ValueError, 'kernel_size must .*, got -3'),
        (dict(type='ECA', kernel_size='5'), TypeError, "kernel_size must .*, got '5'"),
        (dict(type='SPA', ratio=65), ValueError, 'ratio must be at most .* 64, got 65'),
        (
            dict(type='SPA', grids=()),
            ValueError,
            r'grids must be one or more integers .*, got \(\)',
        ),
        (dict(type='SPA', grids=(4, 0)), ValueError, r'grids must .*, got \(4, 0\)'),
        (dict(type='SGE', groups=48), ValueError, 'groups must divide .* 64, got 48'),
        (dict(type='SGE', groups=0), ValueError, 'groups must .*, got 0'),
        (dict(type='SEM', ratio=65), ValueError, 'ratio must be at most .* 64, got 65'),
        (dict(type='GC', ratio=65), ValueError, 'ratio must be at most .* 64, got 65'),
        (dict(type='GC', pooling_type='max'), ValueError, "pooling_type must .* got 'max'"),
        (dict(type='GC', fusion_types=('add',)), ValueError, 'fusion_types must .*add'),
        (dict(type='GC', fusion_types='channel_add'), TypeError, 'fusion_types must'),
        (dict(type='GC', fusion_types=()), ValueError, 'fusion_types must'),
        (dict(type='NonLocal', ratio=0), ValueError, 'ratio must .*, got 0'),
        (dict(type='NonLocal', mode='cosine'), ValueError, 'cosine'),
        (dict(), ValueError, 'attention must be a dict .*mmdia.SE.* got {}'),
        (dict(type='SENet'), ValueError, "attention must .*mmdia.SE.* got {'type': 'SENet'}"),
        (
            dict(type='DIALSTM'),
            TypeError,
            "attention must .*mmdia.SE.* got {'type': 'DIALSTM'}",
        ),
        (dict(type=nn.ReLU), TypeError, 'attention must .* got .*ReLU'),
        ('mmdia.SE', TypeError, "attention must be a dict .* got 'mmdia.SE'"),
        (None, TypeError, 'attention must be a dict .* got None'),
    ),
)
@each_mode
def test_argument_is_refused(mode, cfg, error, message):
    with pytest.raises(error, match=message):
        mode(64, 2, attention=cfg)


@pytest.mark.parametrize(
    ('args', 'error', 'message'),
    (
        (dict(in_channels=0), ValueError, 'in_channels must .*, got 0'),
        (dict(in_channels=64.0), TypeError, 'in_channels must .*, got 64.0'),
        (dict(in_channels=64, num_blocks=0), ValueError, 'num_blocks must .*, got 0'),
    ),
)
@each_attention
def test_size_is_refused(name, args, error, message):
    with pytest.raises(error, match=message):
        MODELS.get(name)(**args)


@torch.no_grad()
@pytest.mark.parametrize('ratio', (1, 2, 3, 5, 7, 16, 48))
@pytest.mark.parametrize('channels', (48, 49, 64, 96))
def test_width_of_gc(channels, ratio):
    block = MODELS.get('GC')(channels, ratio=ratio).block
    assert block.planes == channels // ratio


@torch.no_grad()
@pytest.mark.parametrize(
    'fusion_types', (('channel_add',), ('channel_mul',), ('channel_add', 'channel_mul'))
)
@pytest.mark.parametrize('pooling_type', ('att', 'avg'))
def test_variants_of_gc_are_neutral(fusion_types, pooling_type):
    module = MODELS.get('GC')(8, ratio=2, fusion_types=fusion_types, pooling_type=pooling_type)
    gate = scramble(module).zero_gate()
    x = torch.randn(2, 8, 5, 5)
    assert torch.equal(module(x), gate * x)
