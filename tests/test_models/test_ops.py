"""What keeps less for the backward pass than autograd would equals what autograd computes."""

import copy
import gc
import weakref
from functools import partial

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from mmdia.models.ops import (
    apply_module,
    gated_sum,
    normalize_with_recipe,
    recomputation,
    rectify,
    sums,
    weighted_sum,
)
from mmdia.models.ops.recomputation import compute_again, recipe_of

from ..helpers import (
    DEPTHS,
    INTERACTIONS,
    forget_living_objects,
    living_maps,
    randomize,
    slim_resnet,
)

MODES = ('train', 'norm_eval', 'eval')


@pytest.fixture
def by_autograd(monkeypatch):
    """Leave everything to autograd."""

    def switch_off():
        for module in (recomputation, sums):
            monkeypatch.setattr(module, 'is_eager', lambda x: False)

    return switch_off


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


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize(
    ('depth', 'memory_format'), ((18, torch.channels_last), (50, torch.contiguous_format))
)
@pytest.mark.parametrize('interaction', INTERACTIONS)
def test_networks_equal_what_autograd_computes(
    interaction, depth, mode, memory_format, by_autograd
):
    x = torch.randn(3, 3, 33, 47, dtype=torch.float64).to(memory_format=memory_format)
    args = dict(depth=depth, mode=mode, num_stages=2)
    model = network(interaction, **args).to(memory_format=memory_format)
    ours = run(model, x)
    with torch.no_grad():
        inference = model(x)[0] if mode == 'eval' else None
    by_autograd()
    model = network(interaction, **args).to(memory_format=memory_format)
    expected = run(model, x)
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-12)
    if mode == 'eval':
        torch.testing.assert_close(inference, expected['out'].detach(), rtol=1e-10, atol=1e-12)


def kept_maps(interaction, **kwargs):
    """How many maps a forward pass keeps for the backward pass."""
    model = slim_resnet(interaction, interaction_args=kwargs).train()
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


def test_an_extra_norm_keeps_its_input_only():
    more = kept_maps('mmdia.DIALSTM', extra_norm=True) - kept_maps('mmdia.LayerInteraction')
    assert more == 8  # blocks


# The output of the plain block is computed again, and in the last block kept nowhere else. Each of
# the 8 blocks keeps its value; DLA-L what stands for the layer before, too, and the base forms the
# input of one more norm; and shortcuts, of which 3 are projections, are needed. Where the attention
# output of the block before stands for the layer before, MRLA-L keeps it; DLA-L computes it again
# but for the zeros before the first blocks of the 4 stages.
@pytest.mark.parametrize(
    ('interaction', 'kwargs', 'more'),
    (
        ('mmdia.MRLALight', {}, 8 + 3 - 1),
        ('mmdia.DLALight', {}, 8 + 8 + 3 - 1),
        ('mmdia.MRLABase', {}, 8 + 8 + 3 - 1),
        ('mmdia.DLABase', {}, 8 + 8 + 3 - 1),
        ('mmdia.MRLALight', dict(previous='attention'), 8 + 8 + 3 - 1),
        ('mmdia.DLALight', dict(previous='attention'), 8 + 8 + 3 - 1 + 4),
    ),
)
def test_layer_attention_computes_the_plain_output_again(interaction, kwargs, more):
    assert kept_maps(interaction, **kwargs) == kept_maps('mmdia.LayerInteraction') + more


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


@pytest.mark.parametrize('interaction', INTERACTIONS)
def test_nothing_outlives_the_backward_pass(interaction):
    model = slim_resnet(interaction).train()
    images = torch.randn(2, 3, 160, 160)
    forget_living_objects()
    gc.disable()
    try:
        model(images)[0].mean().backward()
        assert living_maps() == []
    finally:
        gc.enable()


@pytest.mark.parametrize('interaction', INTERACTIONS)
def test_nothing_that_was_recomputed_outlives_checkpointed_interactions(interaction):
    model = slim_resnet(interaction).train()
    for module in model.interactions():
        module.forward = partial(checkpoint, module.forward, use_reentrant=False)
    images = torch.randn(2, 3, 160, 160)
    forget_living_objects()
    gc.disable()
    try:
        loss = model(images)[0].mean()
        loss.backward()
        assert living_maps() == [] and loss.grad_fn is not None
    finally:
        gc.enable()


@torch.no_grad()
@pytest.mark.parametrize('interaction', INTERACTIONS)
def test_maps_of_a_stage_end_with_it(interaction):
    """Of a stage only the output lives in the next, whatever was remembered there."""
    model = slim_resnet(interaction, 34).eval()
    sizes = []
    forget_living_objects()
    model.layer2[1].register_forward_pre_hook(
        lambda *_: sizes.extend(t.shape[-1] for t in living_maps())
    )
    model(torch.randn(1, 3, 160, 160))
    # Its output, and a feature map that blocks read, which crosses the stages.
    assert sizes.count(40) <= 1 + (interaction == 'mmdia.LayerAggregation') and 20 in sizes


class Witness(torch.autograd.Function):
    """The identity; an object of its own lives as long as the graph behind it."""

    @staticmethod
    def forward(ctx, x, witness):
        ctx.witness = witness
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


@pytest.mark.parametrize('interaction', INTERACTIONS)
def test_a_graph_that_is_not_used_is_freed(interaction):
    model = slim_resnet(interaction).train()
    images = torch.randn(2, 3, 64, 64, requires_grad=True)
    witness = nn.Module()
    alive = weakref.ref(witness)
    forget_living_objects()
    gc.disable()
    try:
        model(Witness.apply(images, witness))
        del witness
        assert alive() is None
    finally:
        gc.enable()


@pytest.mark.parametrize('interaction', INTERACTIONS)
def test_a_graph_can_be_passed_in_parts_and_again(interaction):
    model = network(interaction)
    x = torch.randn(2, 3, 33, 47, dtype=torch.float64, requires_grad=True)
    loss = model(x)[0].square().mean()
    parameters = list(model.parameters())
    expected = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    # This asks for no gradient of weights.
    (of_images,) = torch.autograd.grad(loss, x, retain_graph=True)
    assert of_images.abs().max() > 0
    again = torch.autograd.grad(loss, parameters, allow_unused=True)
    torch.testing.assert_close(again, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize('interaction', INTERACTIONS)
def test_one_backward_pass_for_calls_in_both_modes(interaction, by_autograd):
    x = torch.randn(3, 3, 33, 47, dtype=torch.float64)

    def gradients():
        model = network(interaction, num_stages=2)
        outs = [model.train(training)(x)[0] for training in (False, True, False)]
        loss = sum(out.square().mean() for out in outs)
        return torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)

    ours = gradients()
    by_autograd()
    torch.testing.assert_close(ours, gradients(), rtol=1e-10, atol=1e-12)


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
    for module in plain.modules():  # so that norms are called as usual
        module.register_forward_hook(lambda *_: None)
    x = torch.randn(4, 3, 64, 64, dtype=torch.float64)
    for _ in range(3):
        model(x), plain(x)
    norm, expected = (m.layer1[0].bn2 for m in (model, plain))
    assert isinstance(norm, nn.BatchNorm2d)
    for name, buffer in expected.named_buffers():
        torch.testing.assert_close(norm.get_buffer(name), buffer, rtol=1e-12, atol=1e-14)


def random_norm(channels=5):
    norm = nn.BatchNorm2d(channels, eps=1e-2).double()
    nn.init.uniform_(norm.weight)
    nn.init.uniform_(norm.bias)
    nn.init.uniform_(norm.running_mean)
    nn.init.uniform_(norm.running_var)
    return norm


@pytest.mark.parametrize('training', (True, False))
def test_recipe_tells_how_a_map_was_computed(training):
    norm = random_norm().train(training)
    x = torch.randn(3, 5, 4, 6, dtype=torch.float64) * 0.3 + 2
    y = normalize_with_recipe(norm, x)
    node = recipe_of(y)
    _, mean, var, weight, bias = node.saved_tensors
    if training:
        expected = torch.var_mean(x, (0, 2, 3), correction=0)
        torch.testing.assert_close((var, mean), expected)
    # Parameters that are sharded are gone once the block has been called.
    assert weight.data_ptr() != norm.weight.data_ptr()
    assert bias.data_ptr() != norm.bias.data_ptr()
    torch.testing.assert_close(compute_again(node), y.detach())


def test_recipe_is_forgotten_when_a_map_changes():
    x = torch.randn(3, 5, 4, 6, dtype=torch.float64)
    y = normalize_with_recipe(random_norm(), x)
    assert recipe_of(y) is not None
    with torch.no_grad():  # which autograd does not notice
        y.mul_(2)
    assert recipe_of(y) is None and recipe_of(normalize_with_recipe(random_norm(), x) + 0) is None


def test_a_branch_that_is_rectified_and_gated():
    norm = random_norm()
    x = torch.randn(3, 5, 4, 6, dtype=torch.float64, requires_grad=True)
    gate = torch.rand(3, 5, dtype=torch.float64, requires_grad=True)

    def function(x, gate):
        branch = normalize_with_recipe(norm, x)
        (rectified,) = rectify(branch, None, (nn.ReLU(),))
        return rectified.sum() * gated_sum(branch, x, gate).sum()

    assert torch.autograd.gradcheck(function, (x, gate))


def test_a_branch_that_is_used_without_gradients():
    x = torch.randn(3, 5, 4, 6, dtype=torch.float64, requires_grad=True)
    branch = normalize_with_recipe(random_norm(), x)
    with torch.no_grad():
        (rectified,) = rectify(branch, None, (nn.ReLU(),))
        total = gated_sum(branch, x, torch.ones(3, 1))
    assert torch.equal(rectified, branch.relu()) and torch.equal(total, x + branch)
    assert not rectified.requires_grad and recipe_of(branch).uses == 0


class Foreign(torch.autograd.Function):
    """What others have as their node may have attributes, too."""

    @staticmethod
    def forward(ctx, x):
        ctx.version, ctx.compute = 0, torch.relu
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def test_other_nodes_are_no_recipes():
    x, identity = torch.randn(2, 3, 5, 4, 6, dtype=torch.float64, requires_grad=True)
    gate = torch.rand(3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda *args: gated_sum(Foreign.apply(args[0]), *args[1:]), (x, identity, gate)
    )


@pytest.mark.parametrize(
    'kwargs', (dict(position='sum'), dict(attention=dict(type='mmdia.SE', ratio=4)), {})
)
def test_branches_have_a_recipe_where_it_is_used(kwargs):
    model = slim_resnet('mmdia.RLA', interaction_args=kwargs)
    assert model.layer1[0].with_recipe == (not kwargs)


@pytest.mark.parametrize('training', (True, False))
@pytest.mark.parametrize('gates', (5, 1))
def test_first_and_second_derivatives_of_gated_sums(training, gates):
    norm = random_norm().train(training)
    x, identity = torch.randn(2, 2, 5, 3, 2, dtype=torch.float64, requires_grad=True)
    gate = torch.rand(2, gates, dtype=torch.float64, requires_grad=True)

    def function(x, identity, gate):
        return gated_sum(normalize_with_recipe(norm, x), identity, gate)

    assert torch.autograd.gradcheck(function, (x, identity, gate))
    assert torch.autograd.gradgradcheck(function, (x, identity, gate))


@pytest.mark.parametrize('training', (True, False))
@pytest.mark.parametrize('with_identity', (True, False))
def test_first_and_second_derivatives_of_what_is_recomputed(training, with_identity):
    norm = random_norm().train(training)
    conv = nn.Conv2d(5, 5, 3, padding=1, groups=5).double()
    x, identity = torch.randn(2, 2, 5, 3, 2, dtype=torch.float64, requires_grad=True)

    def function(x, identity):
        identity = identity if with_identity else None
        y, value = rectify(normalize_with_recipe(norm, x), identity, (nn.ReLU(), conv))
        return y * value

    inputs = (x, identity) if with_identity else (x, torch.zeros(()))
    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


def weights_and_maps():
    """Three maps, of which one has a weight for all samples."""
    weights = [torch.rand(n, 5, dtype=torch.float64, requires_grad=True) for n in (2, 1, 2)]
    maps = [torch.randn(2, 5, 3, 2, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    return *weights, *maps


def test_derivatives_of_weighted_sums():
    def function(*inputs):
        return weighted_sum(inputs[:3], inputs[3:])

    inputs = weights_and_maps()
    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize('training', (True, False))
def test_first_and_second_derivatives_of_normalized_sums(training):
    norm = random_norm().train(training)

    def function(*inputs):
        total = weighted_sum(inputs[:3], inputs[3:], recompute=True)
        return apply_module(norm, total), total

    inputs = weights_and_maps()
    expected = weighted_sum(inputs[:3], inputs[3:])
    for found, plain in zip(function(*inputs), (norm(expected), expected)):
        assert torch.equal(found, plain)
    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


def test_views_of_what_is_computed_again():
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)

    def function(x):
        branch = normalize_with_recipe(random_norm(3).eval(), x)
        views = (lambda x: x * x.transpose(2, 3) * x[:1],)
        return recomputation.apply_recomputing(views, branch, recipe_of(branch))[0]

    torch.manual_seed(0)
    (found,) = torch.autograd.grad(function(x).sum(), x)
    torch.manual_seed(0)
    y = random_norm(3).eval()(x)
    (expected,) = torch.autograd.grad((y * y.transpose(2, 3) * y[:1]).sum(), x)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@torch.no_grad()
def double_in_place(module, args):
    """A hook that changes what a module is called with, behind the back of autograd."""
    args[0].mul_(2)


@pytest.mark.parametrize('layer', (random_norm(), nn.Conv2d(5, 5, 3).double()))
def test_hooks_that_change_what_could_be_computed_again(layer):
    inputs = weights_and_maps()
    layer = copy.deepcopy(layer)
    layer.register_forward_pre_hook(double_in_place)

    def gradients(apply):
        maps = [nn.functional.pad(x, (2, 2, 2, 2)) for x in inputs[3:]]
        total = weighted_sum(inputs[:3], maps, recompute=True)
        return torch.autograd.grad(apply(layer, total).square().sum(), list(layer.parameters()))

    expected = gradients(lambda layer, total: layer(total))
    torch.testing.assert_close(gradients(apply_module), expected, rtol=1e-12, atol=1e-12)


def count_results(node):
    """List what a recipe computes from now on."""
    computed, compute = [], node.compute

    def count(*args):
        computed.append(weakref.ref(out := compute(*args)))
        return out

    node.compute = count
    return computed


def test_what_is_recomputed_is_computed_once_and_freed():
    conv = nn.Conv2d(5, 5, 3, padding=1, groups=5).double()
    x = torch.randn(2, 5, 3, 2, dtype=torch.float64, requires_grad=True)
    branch = normalize_with_recipe(random_norm(), x)
    computed = count_results(recipe_of(branch))
    y, value = rectify(branch, x, (nn.ReLU(), conv))
    total = gated_sum(branch, x, torch.ones(2, 5, dtype=torch.float64, requires_grad=True))
    for passes in (1, 2):
        (y.sum() + value.sum() + total.sum()).backward(retain_graph=True)
        assert len(computed) == passes and computed[-1]() is None


def test_normalized_sums_are_computed_once_and_freed():
    weights = torch.rand(2, 2, 5, dtype=torch.float64)
    maps = torch.randn(2, 2, 5, 3, 2, dtype=torch.float64, requires_grad=True)
    total = weighted_sum(weights.unbind(), maps.unbind(), recompute=True)
    computed = count_results(recipe_of(total))
    y = apply_module(random_norm(), total)
    for passes in (1, 2):
        y.sum().backward(retain_graph=True)
        assert len(computed) == passes and computed[-1]() is None


@pytest.mark.parametrize('interaction', ('mmdia.MRLALight', 'mmdia.MRLABase', 'mmdia.DLALight'))
def test_random_activations_are_not_recomputed(interaction, by_autograd):
    """Their noise would be drawn anew."""
    x = torch.randn(3, 3, 33, 47, dtype=torch.float64)
    act_cfg = dict(type='RReLU')

    def seeded_run():
        model = network(interaction, act_cfg=act_cfg)
        torch.manual_seed(1)
        return run(model, x)

    ours = seeded_run()
    by_autograd()
    torch.testing.assert_close(ours, seeded_run(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize('interaction', INTERACTIONS)
def test_batches_of_gradients(interaction):
    model = network(interaction, num_stages=2)
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64, requires_grad=True)
    (out,) = model(x)
    weights = torch.randn(3, *out.shape, dtype=torch.float64)
    (together,) = torch.autograd.grad(out, x, weights, is_grads_batched=True, retain_graph=True)
    for weight, gradient in zip(weights, together):
        (expected,) = torch.autograd.grad(out, x, weight, retain_graph=True)
        torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize('interaction', INTERACTIONS)
def test_forward_mode(interaction):
    model = network(interaction, mode='eval', num_stages=2)
    x, direction = torch.randn(2, 2, 3, 16, 16, dtype=torch.float64)
    with torch.autograd.forward_ad.dual_level():
        (out,) = model(torch.autograd.forward_ad.make_dual(x, direction))
        found = torch.autograd.forward_ad.unpack_dual(out).tangent
    _, expected = torch.autograd.functional.jvp(lambda x: model(x)[0], x, direction)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize('dtype', (torch.bfloat16, torch.float16))
def test_gates_have_precise_gradients_in_half_precision(dtype):
    """Also where the input of the norm is far from zero."""
    norm = random_norm().float()
    x = (torch.randn(2, 5, 16, 16) + 30).to(dtype)
    identity, grad = torch.randn(2, 2, 5, 16, 16).to(dtype)

    def gradient(x, identity, grad):
        gate = torch.rand(2, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
        out = gated_sum(normalize_with_recipe(norm, x), identity, gate)
        (of_gate,) = torch.autograd.grad(out, gate, grad)
        return of_gate

    found, expected = (
        gradient(x, identity, grad),
        gradient(*(t.float() for t in (x, identity, grad))),
    )
    assert (found - expected).norm() < 0.01 * expected.norm()


@pytest.mark.parametrize('interaction', INTERACTIONS)
def test_norms_whose_statistics_were_taken_away(interaction):
    model = network(interaction, mode='eval')
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = module.running_var = None
    (out,) = model(torch.randn(2, 3, 64, 64, dtype=torch.float64))
    out.sum().backward()
    assert torch.isfinite(out).all()


@pytest.mark.parametrize('interaction', ('mmdia.MRLALight', 'mmdia.DLABase'))
def test_patched_activations_are_not_recomputed(interaction, by_autograd):
    x = torch.randn(3, 3, 33, 47, dtype=torch.float64)

    def patched_run():
        model = network(interaction)
        for module in model.interactions():
            module.act.forward = lambda x: 2 * torch.relu(x)
        return run(model, x)

    ours = patched_run()
    by_autograd()
    torch.testing.assert_close(ours, patched_run(), rtol=1e-10, atol=1e-12)


@torch.no_grad()
def test_halves_of_a_block_end_with_it():
    model = slim_resnet('mmdia.LayerInteraction').eval()
    sizes = []
    forget_living_objects()
    model.layer1[1].register_forward_pre_hook(
        lambda *_: sizes.extend(t.shape[-1] for t in living_maps())
    )
    model(torch.randn(1, 3, 160, 160))
    assert sizes.count(40) <= 2  # the inputs of the stage and of the block


@pytest.mark.parametrize('training', (True, False))
@pytest.mark.parametrize('part', ('weight', 'bias', 'num_batches_tracked', 'track_running_stats'))
@pytest.mark.parametrize('interaction', INTERACTIONS)
def test_norms_without_a_part(interaction, part, training, by_autograd):
    """What the norms of PyTorch compute without."""

    def run_without_part():
        torch.manual_seed(0)
        model = slim_resnet(interaction, num_stages=2).double().train(training)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                setattr(module, part, None)
        return run(model, torch.randn(2, 3, 32, 32, dtype=torch.float64))

    ours = run_without_part()
    by_autograd()
    torch.testing.assert_close(ours, run_without_part())
