"""What every method on every trunk has to do, whatever it computes."""

import copy

import pytest
import torch
from torch import nn

from mmdia.models import ResNet

from ..helpers import DEPTHS, INTERACTIONS, can_learn, randomize, slim_resnet

pytestmark = [
    pytest.mark.parametrize('interaction', INTERACTIONS),
    pytest.mark.parametrize('depth', DEPTHS),
]
ALL_LEVELS = dict(out_indices=(0, 1, 2, 3))


def images(batch_size=2, size=(64, 64), **kwargs):
    return torch.randn(batch_size, 3, *size, **kwargs)


def gradients(model, x):
    sum(level.square().mean() for level in model(x)).backward()
    return {name: p.grad for name, p in model.named_parameters()}


@torch.no_grad()
def test_sample_does_not_depend_on_its_batch(interaction, depth):
    model = randomize(slim_resnet(interaction, depth, **ALL_LEVELS)).double().eval()
    batch = images(4, dtype=torch.float64)
    together = model(batch)
    for i in range(4):
        for level, expected in zip(model(batch[i : i + 1]), together):
            torch.testing.assert_close(
                level[0], expected[i], rtol=1e-12, atol=1e-12 * expected.abs().max()
            )


@torch.no_grad()
def test_forward_leaves_no_state(interaction, depth):
    model = randomize(slim_resnet(interaction, depth)).eval()
    x = images()
    (first,) = model(x)
    model(images(3, (96, 65)))
    assert torch.equal(model(x)[0], first)


@torch.no_grad()
@pytest.mark.parametrize('size', ((32, 32), (65, 97), (225, 64)))
def test_shapes(interaction, depth, size):
    model = slim_resnet(interaction, depth, **ALL_LEVELS).eval()
    expansion = model.block.expansion
    for i, level in enumerate(model(images(1, size))):
        stride = 4 * 2**i
        height, width = (-(-s // stride) for s in size)
        assert level.shape == (1, 8 * expansion * 2**i, height, width)


def test_every_parameter_learns(interaction, depth):
    model = randomize(slim_resnet(interaction, depth)).train()
    for name, grad in gradients(model, images(4)).items():
        assert grad is not None and torch.isfinite(grad).all(), name
        assert (grad.abs().max() > 0) == can_learn(interaction, name), name


def test_checkpointing_changes_nothing(interaction, depth):
    plain = randomize(slim_resnet(interaction, depth)).double().train()
    saving = slim_resnet(interaction, depth, with_cp=True).double().train()
    saving.load_state_dict(plain.state_dict())
    passes = []
    saving.layer2[0].conv1.register_forward_hook(lambda *_: passes.append(1))
    x = images(dtype=torch.float64)
    expected = gradients(plain, x)
    for name, grad in gradients(saving, x).items():
        torch.testing.assert_close(grad, expected[name], rtol=1e-10, atol=1e-12)
    assert len(passes) == 2
    buffers = dict(plain.named_buffers())
    for name, buffer in saving.named_buffers():
        torch.testing.assert_close(buffer, buffers[name], rtol=1e-12, atol=1e-14)
        if name.endswith('num_batches_tracked'):
            assert buffer == 1, name


def test_identity_init_learns(interaction, depth):
    model = slim_resnet(
        interaction, depth, dict(identity_init=True), zero_init_residual=False
    ).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    x = images(4)
    gradients(model, x)
    optimizer.step()
    optimizer.zero_grad()
    for name, grad in gradients(model, x).items():
        assert grad is not None and (grad.abs().max() > 0) == can_learn(interaction, name), name


def test_frozen_stages_and_norm_eval(interaction, depth):
    model = slim_resnet(interaction, depth, frozen_stages=1, norm_eval=True)
    assert model.train() is model
    gradients(model, images(4))
    for name, p in model.named_parameters():
        fixed = name.startswith(('conv1.', 'bn1.', 'layer1.'))
        fixed = fixed and 'interaction' not in name.split('.')
        assert p.requires_grad != fixed and (p.grad is None) == fixed, name
    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            # Fresh norms of interactions have no statistics to rely on yet.
            assert module.training == ('interaction' in name.split('.')), name
    assert model.eval() is model
    assert not any(module.training for module in model.modules())


def test_layer_depth(interaction, depth):
    model = slim_resnet(interaction, depth)
    depths = {}
    for name, _ in model.named_parameters():
        layer, number = model.get_layer_depth(f'backbone.{name}', 'backbone.')
        assert 0 <= layer < number - 1
        depths.setdefault('.'.join(name.split('.')[:2]), layer)
    for i in range(1, 5):
        blocks = [v for k, v in depths.items() if k[:8] in {f'layer{i}.{j}' for j in range(6)}]
        assert blocks == sorted(blocks)
        assert depths.get(f'layer{i}.interaction', blocks[-1]) == blocks[-1]
    if model.interaction is not None:
        assert {v for k, v in depths.items() if k.startswith('interaction.')} == {blocks[-1]}
    assert model.get_layer_depth('head.fc.weight', 'backbone.') == (number - 1, number)


@pytest.mark.parametrize('dtype', (torch.bfloat16, torch.float16))
def test_autocast(interaction, depth, dtype):
    model = slim_resnet(interaction, depth, zero_init_residual=False).train()
    x = images(4)
    with torch.autocast('cpu', dtype=dtype):
        (level,) = model(x)
        loss = level.float().square().mean()
    loss.backward()
    assert level.dtype == dtype and torch.isfinite(level).all()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@torch.no_grad()
@pytest.mark.parametrize('dtype', (torch.bfloat16, torch.float16))
def test_model_of_half_precision(interaction, depth, dtype):
    model = slim_resnet(interaction, depth).eval()
    (expected,) = model(images())
    (level,) = model.to(dtype)(images().to(dtype))
    assert level.dtype == dtype and torch.isfinite(level).all()
    assert level.shape == expected.shape


@torch.no_grad()
def test_channels_last(interaction, depth):
    model = slim_resnet(interaction, depth, out_indices=range(4))
    model = randomize(model).double().eval()
    x = images(dtype=torch.float64)
    expected = model(x)
    model = model.to(memory_format=torch.channels_last)
    for gradients_on in (True, False):
        with torch.set_grad_enabled(gradients_on):
            levels = model(x.contiguous(memory_format=torch.channels_last))
        assert all(level.is_contiguous(memory_format=torch.channels_last) for level in levels)
        torch.testing.assert_close(levels, expected, rtol=1e-10, atol=1e-12)


def test_compiles_as_one_graph(interaction, depth):
    torch.compiler.reset()
    model = randomize(slim_resnet(interaction, depth)).double().eval()
    compiled = torch.compile(model, fullgraph=True, backend='eager')
    x = images(dtype=torch.float64)
    # Compiled networks compute by the formulas, others faster.
    torch.testing.assert_close(compiled(x), model(x), rtol=1e-10, atol=1e-12)


@torch.no_grad()
def test_copies_are_independent(interaction, depth):
    model = randomize(slim_resnet(interaction, depth)).eval()
    twin = copy.deepcopy(model)
    x = images()
    (expected,) = model(x)
    for p in twin.parameters():
        p.zero_()
    assert torch.equal(model(x)[0], expected)


@torch.no_grad()
@pytest.mark.parametrize('value', (float('nan'), float('inf')))
def test_non_finite_input_passes(interaction, depth, value):
    model = slim_resnet(interaction, depth).eval()
    x = images(2)
    (clean,) = model(x)
    x[0] = value
    (level,) = model(x)
    assert not torch.isfinite(level[0]).all()
    torch.testing.assert_close(level[1], clean[1])


def test_activation_and_norm_are_those_of_the_trunk(interaction, depth):
    model = slim_resnet(
        interaction,
        depth,
        norm_cfg=dict(type='GN', num_groups=4),
        act_cfg=dict(type='LeakyReLU', negative_slope=0.3),
    )
    kinds = {type(module) for module in model.modules()}
    assert nn.LeakyReLU in kinds and nn.GroupNorm in kinds and nn.BatchNorm2d not in kinds
    for module in model.interactions():
        assert isinstance(module.act, nn.LeakyReLU) and module.act.negative_slope == 0.3
    (level,) = model.eval()(images())
    assert torch.isfinite(level).all()


@torch.no_grad()
def test_small_stem(interaction, depth):
    model = slim_resnet(interaction, depth, small_stem=True, **ALL_LEVELS).eval()
    assert model.conv1.kernel_size == (3, 3)
    sizes = [tuple(level.shape[2:]) for level in model(images(1, (32, 33)))]
    assert sizes == [(32, 33), (16, 17), (8, 9), (4, 5)]


@torch.no_grad()
def test_fewer_stages(interaction, depth):
    args = dict(num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1))
    (level,) = slim_resnet(interaction, depth, **args).eval()(images())
    assert level.shape == (2, 32 * ResNet.arch_settings[depth][0].expansion, 4, 4)
