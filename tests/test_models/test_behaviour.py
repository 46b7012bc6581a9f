"""What every method on every trunk has to do, whatever it computes."""

import pytest
import torch
from torch import nn

from mmdia.models import ResNet
from mmdia.testing import (
    ALL_LEVELS,
    CHECKS,
    check_compiling,
    check_export,
    check_hooks,
    gradients,
    images,
)

from ..helpers import DEPTHS, INTERACTIONS, slim_resnet, small_networks

pytestmark = [
    pytest.mark.parametrize('interaction', INTERACTIONS),
    pytest.mark.parametrize('depth', DEPTHS),
]


# The others are in test_tools, on all trunks, and in test_compile.py.
@pytest.mark.parametrize(
    'check',
    [check for check in CHECKS if check not in (check_compiling, check_export, check_hooks)],
    ids=lambda check: check.__name__,
)
def test_check(interaction, depth, check):
    check(small_networks(interaction, depth))


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


def test_backward_pass_can_be_deterministic(interaction, depth):
    """No operator that torch.use_deterministic_algorithms forbids on GPUs."""
    forbidden = (
        'AdaptiveAvgPool',
        'AdaptiveMaxPool',
        'AvgPool3D',
        'MaxPool3D',
        'Upsample',
        'Cumsum',
    )
    (out,) = slim_resnet(interaction, depth).train()(images(4))
    nodes, found = [out.grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node not in found:
            found.add(node)
            nodes += [before for before, _ in node.next_functions if before is not None]
    names = {node.name() for node in found} - {'UpsampleNearest2DBackward0'}
    assert not [name for name in names if name.startswith(forbidden)]


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
