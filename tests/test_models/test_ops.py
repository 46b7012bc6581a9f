"""What is computed faster than by its formula equals the formula, and keeps less."""

import gc
import sys
import weakref

import pytest
import torch
from torch import nn

from mmdia.models import DIACell, ResNet
from mmdia.models.ops import normalize, unrolling
from mmdia.models.ops.recomputation import Recipe

from ..helpers import DEPTHS, INTERACTIONS, randomize, slim_resnet

MODES = ('train', 'norm_eval', 'eval')


@pytest.fixture
def by_formula(monkeypatch):
    """Switch everything off that stands in for a formula."""

    def switch_off():
        for name, module in list(sys.modules.items()):
            if name.startswith('mmdia.models') and hasattr(module, 'is_eager'):
                monkeypatch.setattr(module, 'is_eager', lambda: False)

    return switch_off


@pytest.fixture
def unroll_all(monkeypatch):
    """Let small layers be unrolled too."""
    monkeypatch.setattr(unrolling, 'MANY_WEIGHTS', 0)


def network(interaction, depth=18, mode='train', **kwargs):
    torch.manual_seed(0)
    model = slim_resnet(interaction, depth, norm_eval=mode == 'norm_eval', **kwargs)
    return randomize(model).double().train(mode != 'eval')


def run(model, x):
    """Outputs, gradients and running statistics of a pass."""
    x = x.clone().requires_grad_()
    (out,) = model(x)
    (out / out.detach().abs().max()).square().mean().backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    return dict(gradients, **dict(model.named_buffers()), out=out, images=x.grad)


@pytest.mark.usefixtures('unroll_all')
@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('depth', DEPTHS)
@pytest.mark.parametrize('interaction', INTERACTIONS)
@pytest.mark.parametrize('memory_format', (torch.contiguous_format, torch.channels_last))
def test_fast_paths_equal_the_formulas(interaction, depth, mode, memory_format, by_formula):
    x = torch.randn(3, 3, 33, 47, dtype=torch.float64).to(memory_format=memory_format)
    model = network(interaction, depth, mode).to(memory_format=memory_format)
    fast = run(model, x)
    with torch.no_grad():
        fast_inference = model(x)[0] if mode == 'eval' else None
    by_formula()
    model = network(interaction, depth, mode).to(memory_format=memory_format)
    torch.testing.assert_close(fast, run(model, x), rtol=1e-10, atol=1e-12)
    if mode == 'eval':
        with torch.no_grad():
            torch.testing.assert_close(fast_inference, model(x)[0], rtol=1e-10, atol=1e-12)


def kept_maps(interaction):
    """How many maps a forward pass keeps for the backward pass."""
    model = slim_resnet(interaction).train()
    addresses = set()

    def pack(tensor):
        if tensor.dim() == 4 and min(tensor.shape[2:]) > 4:  # no kernels
            addresses.add(tensor.untyped_storage().data_ptr())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = model(torch.randn(2, 3, 160, 160))
    assert out  # holds the maps, so that no address is used twice
    return len(addresses)


@pytest.mark.parametrize('interaction', ('mmdia.DIALSTM', 'mmdia.RLA', 'mmdia.DIALSTMLight'))
def test_gated_networks_keep_no_more_maps_than_plain_ones(interaction):
    assert kept_maps(interaction) == kept_maps('mmdia.LayerInteraction')


# 8 blocks, of which 3 project the shortcut. The output of the plain block is computed again, so
# that of the last one is not kept; a norm's input is, and projections in DLA-L, values in DLA-B.
@pytest.mark.parametrize(
    ('interaction', 'more'),
    {
        'mmdia.MRLALight': 10,
        'mmdia.DLALight': 10,
        'mmdia.MRLABase': 15,
        'mmdia.DLABase': 15,
    }.items(),
)
def test_layer_attention_computes_the_plain_output_again(interaction, more):
    assert kept_maps(interaction) == kept_maps('mmdia.LayerInteraction') + more


@torch.no_grad()
@pytest.mark.parametrize(
    'changes', (dict(bias=True), dict(groups=2), dict(kernel_size=3, padding=1))
)
def test_a_last_convolution_of_another_kind(changes):
    model = network('mmdia.DIALSTM', 50, 'eval')
    for block in model.layer1.blocks():
        channels = block.conv3.in_channels, block.conv3.out_channels
        options = dict(dict(kernel_size=1, bias=False), **changes)
        block.conv3 = nn.Conv2d(*channels, **options, dtype=torch.float64)
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    (out,) = model(x)
    with torch.enable_grad():
        (expected,) = model(x)
    torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize('depth', DEPTHS)
@pytest.mark.parametrize('interaction', INTERACTIONS)
def test_statistics_are_collected_without_gradients(interaction, depth):
    x = torch.randn(3, 3, 64, 64, dtype=torch.float64)
    models = [network(interaction, depth) for _ in range(2)]
    (expected,) = models[0](x)
    with torch.no_grad():
        (out,) = models[1](x)
    torch.testing.assert_close(out, expected.detach(), rtol=1e-10, atol=1e-12)
    buffers = [dict(model.named_buffers()) for model in models]
    torch.testing.assert_close(*buffers, rtol=1e-10, atol=1e-12)


@pytest.mark.usefixtures('unroll_all')
@pytest.mark.parametrize('interaction', INTERACTIONS)
def test_nothing_outlives_the_backward_pass(interaction):
    def maps():
        tensors = (o for o in gc.get_objects() if type(o) is torch.Tensor)
        return [t for t in tensors if t.dim() == 4 and min(t.shape[2:]) > 4]

    model = slim_resnet(interaction).train()
    images = torch.randn(2, 3, 160, 160)
    gc.collect()
    before = {id(t): t for t in maps()}
    gc.disable()
    try:
        model(images)[0].mean().backward()
        assert all(id(t) in before for t in maps())
    finally:
        gc.enable()


class Witness(torch.autograd.Function):
    """The identity; an object of its own lives as long as the graph behind it."""

    @staticmethod
    def forward(ctx, x, witness):
        ctx.witness = witness
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


@pytest.mark.usefixtures('unroll_all')
@pytest.mark.parametrize('interaction', INTERACTIONS)
def test_a_graph_that_is_not_used_is_freed(interaction):
    model = slim_resnet(interaction).train()
    images = torch.randn(2, 3, 64, 64, requires_grad=True)
    witness = nn.Module()
    alive = weakref.ref(witness)
    gc.collect()
    gc.disable()
    try:
        model(Witness.apply(images, witness))
        del witness
        assert alive() is None
    finally:
        gc.enable()


@pytest.mark.usefixtures('unroll_all')
@pytest.mark.parametrize('interaction', ('mmdia.DIALSTM', 'mmdia.DLALight', 'mmdia.DLABase'))
def test_a_graph_can_be_passed_in_parts_and_again(interaction):
    model = network(interaction)
    x = torch.randn(2, 3, 33, 47, dtype=torch.float64, requires_grad=True)
    loss = model(x)[0].square().mean()
    expected = torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)
    # This asks for no gradient of weights.
    (of_images,) = torch.autograd.grad(loss, x, retain_graph=True)
    assert of_images.abs().max() > 0
    again = torch.autograd.grad(loss, list(model.parameters()))
    torch.testing.assert_close(again, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize('interaction', ('mmdia.DLALight', 'mmdia.DLABase'))
def test_what_is_computed_again_is_freed_after_its_last_use(interaction):
    model = slim_resnet(interaction).train()
    norms = set(model.modules())
    loss = model(torch.randn(2, 3, 64, 64))[0].mean()
    loss.backward(retain_graph=True)
    recipes = [o for o in gc.get_objects() if type(o) is Recipe and o.branch.norm in norms]
    assert recipes and all(recipe.result is None for recipe in recipes)


def test_unrolled_cell_has_the_weights_of_the_cell():
    cell = DIACell(600, ratio=2)
    view = unrolling.unroll(cell)
    assert view is not cell and next(cell.children()) is cell.input_gates
    x = torch.randn(2, 600)
    with torch.no_grad():
        cell.input_gates[0].weight.zero_()
    torch.testing.assert_close(view(x), cell(x))


def test_hooks_of_modules_are_called():
    model = ResNet(18, dict(type='mmdia.DIALSTM', ratio=4), base_channels=8)
    calls = []
    next(model.layer1.blocks()).bn2.register_forward_hook(lambda *_: calls.append('norm'))
    model.layer1.interaction.cell.register_forward_hook(lambda *_: calls.append('cell'))
    model.layer2.interaction.register_forward_hook(lambda *_: calls.append('interaction'))
    next(model.layer3.blocks()).register_forward_hook(lambda *_: calls.append('block'))
    model(torch.randn(2, 3, 64, 64))
    assert calls == ['norm', 'cell', 'cell', 'interaction', 'interaction', 'block']


@torch.no_grad()
def test_hooks_of_convolutions_are_called():
    model = slim_resnet('mmdia.DLALight').eval()
    calls = []
    images = torch.randn(2, 3, 64, 64)
    (expected,) = model(images)
    interaction = model.layer1.interaction
    interaction.attentions[1].value.register_forward_hook(lambda *_: calls.append('value'))
    interaction.attentions[1].key.register_forward_hook(lambda *_: calls.append('key'))
    interaction.excite.register_forward_hook(lambda *_: calls.append('excite'))
    torch.testing.assert_close(model(images), (expected,))
    assert calls == ['excite', 'key', 'excite', 'value']


def test_what_torch_refuses_is_refused():
    model = network('mmdia.DIALSTM')
    with pytest.raises(ValueError, match='more than 1 value per channel'):
        model(torch.randn(1, 3, 32, 32, dtype=torch.float64))


@pytest.mark.parametrize('momentum', (0.3, None))
def test_statistics_are_those_of_the_norm(momentum):
    norm_cfg = dict(type='BN', momentum=momentum, eps=1e-3)
    model = network('mmdia.DIALSTM', norm_cfg=norm_cfg)
    plain = network('mmdia.LayerInteraction', norm_cfg=norm_cfg)
    plain.load_state_dict(model.state_dict(), strict=False)
    x = torch.randn(4, 3, 64, 64, dtype=torch.float64)
    for _ in range(3):
        model(x), plain(x)
    norm, expected = (next(m.layer1.blocks()).bn2 for m in (model, plain))
    assert isinstance(norm, nn.BatchNorm2d)
    for name, buffer in expected.named_buffers():
        torch.testing.assert_close(norm.get_buffer(name), buffer, rtol=1e-12, atol=1e-14)


def test_normalized_maps_tell_their_affine_function():
    norm = nn.BatchNorm2d(5, eps=1e-2).double()
    nn.init.uniform_(norm.weight)
    nn.init.uniform_(norm.bias)
    images = torch.randn(3, 5, 4, 6, dtype=torch.float64) * 0.3 + 2
    source = normalize(norm, images)
    var, mean = torch.var_mean(images, (0, 2, 3), correction=0)
    torch.testing.assert_close(source.statistics, (mean, var))
    x, scale, shift = source.affine()
    expected = x * scale[:, None, None] + shift[:, None, None]
    torch.testing.assert_close(source.map, expected)
    torch.testing.assert_close(source.repeat(), expected)
