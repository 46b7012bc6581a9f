"""The papers' trunks beside the ImageNet ResNet, and the ablations."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

from mmdia.models import (
    CIFARResNet,
    DIAResNet,
    PreActivationBlock,
    PreResNet,
    ResNet,
    WideResNet,
)

from ..helpers import INTERACTIONS, SLIM, can_learn, randomize, slim_resnet

TRUNKS = {
    'bottleneck': (CIFARResNet, dict(depth=29, base_channels=32)),
    'basic': (CIFARResNet, dict(depth=14, block='basic', base_channels=32)),
    'groups': (CIFARResNet, dict(depth=20, base_channels=32, groups=2, base_width=16)),
    'preactivation': (PreResNet, dict(depth=20, base_channels=32)),
    'preactivation basic': (PreResNet, dict(depth=14, block='basic', base_channels=32)),
    'wide': (WideResNet, dict(depth=16, widen_factor=2)),
    'no skip connections': (CIFARResNet, dict(depth=20, base_channels=32, skip_connections=False)),
    'no norms': (CIFARResNet, dict(depth=20, base_channels=32, normalize=False)),
    'V1d': (ResNet, dict(depth=18, base_channels=32, deep_stem=True, avg_down=True)),
    'large stem': (PreResNet, dict(depth=20, base_channels=32, small_stem=False)),
}
by_trunk = pytest.mark.parametrize('trunk', TRUNKS)


def build(trunk, interaction='mmdia.LayerInteraction', **kwargs):
    cls, args = TRUNKS[trunk]
    cfg = dict(type=interaction) | SLIM.get(interaction, {})
    model = cls(interaction=cfg, **args, **kwargs)
    model.init_weights()
    return model


# The light layer attentions weigh the shortcut, which must not be zero.
SHORTCUT_READERS = ('mmdia.DLALight', 'mmdia.MRLALight')


@pytest.mark.parametrize(
    ('trunk', 'interaction'),
    [
        (trunk, interaction)
        for trunk in TRUNKS
        for interaction in INTERACTIONS
        if trunk != 'no skip connections' or interaction not in SHORTCUT_READERS
    ],
)
def test_every_parameter_learns(trunk, interaction):
    kwargs = dict(zero_init_residual=False) if trunk == 'V1d' else {}
    model = randomize(build(trunk, interaction, **kwargs)).double().train()
    x = torch.randn(4, 3, 17, 23, dtype=torch.float64)
    model(x)[0].square().mean().backward()
    for name, p in model.named_parameters():
        assert p.grad is not None and torch.isfinite(p.grad).all(), name
        assert (p.grad.abs().max() > 0) == can_learn(interaction, name), name


@by_trunk
@torch.no_grad()
def test_identity_init_is_the_plain_network(trunk):
    plain = randomize(build(trunk)).eval()
    x = torch.randn(2, 3, 33, 47)
    (expected,) = plain(x)
    cls, args = TRUNKS[trunk]
    for interaction in INTERACTIONS:
        cfg = dict(type=interaction, identity_init=True) | SLIM.get(interaction, {})
        model = cls(interaction=cfg, **args).eval()
        model.init_weights()
        model.load_state_dict(plain.state_dict(), strict=False)
        assert torch.equal(model(x)[0], expected), interaction


@by_trunk
def test_frozen_stages(trunk):
    model = build(trunk, 'mmdia.DIALSTM', frozen_stages=len(build(trunk).stages())).train()
    for name, p in model.named_parameters():
        assert p.requires_grad == ('interaction' in name.split('.')), name
    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.training == ('interaction' in name.split('.')), name


@by_trunk
@pytest.mark.parametrize('wrap', (checkpoint_wrapper, torch.compile))
def test_frozen_stages_that_are_wrapped(trunk, wrap):
    model = build(trunk, 'mmdia.DIALSTM', frozen_stages=len(build(trunk).stages()))
    for i, stage in enumerate(model.stages(), 1):
        setattr(model, f'layer{i}', wrap(stage))
    model.train()
    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.training == ('interaction' in name.split('.')), name


@by_trunk
def test_layer_depths_do_not_fall(trunk):
    model = build(trunk, 'mmdia.DIALSTM')
    depths = {name: model.get_layer_depth(name)[0] for name, _ in model.named_parameters()}
    last = model.get_layer_depth('conv1.weight')[1] - 2
    assert all(depth == last for name, depth in depths.items() if name.startswith('final_norm'))
    stages = [{d for n, d in depths.items() if n.startswith(f'layer{i}.')} for i in (1, 2, 3)]
    assert 0 < max(stages[0]) < min(stages[1]) and max(stages[1]) < min(stages[2])


def norm(state, name, x):
    return F.batch_norm(
        x, *(state[f'{name}.{k}'] for k in ('running_mean', 'running_var', 'weight', 'bias'))
    )


def conv(state, name, x, stride=1):
    weight = state[f'{name}.weight']
    return F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)


def preactivated(state, name, x):
    return F.relu(norm(state, name, x))


def restated_preactivation(state, x, num_blocks, convs, wide):
    """Identity Mappings in Deep Residual Networks, and Wide Residual Networks."""
    x = conv(state, 'conv1', x)
    for stage in (1, 2, 3):
        for block in range(num_blocks):
            name = f'layer{stage}.{block}'
            stride = 2 if stage > 1 and block == 0 else 1
            project = f'{name}.downsample.0.weight' in state
            strided = 1 if convs == 2 else 2  # the 3x3 convolution, the first of them
            y = preactivated(state, f'{name}.bn1', x)
            shortcut = y if wide and project else x
            if project:
                shortcut = conv(state, f'{name}.downsample.0', shortcut, stride)
            for i in range(1, convs + 1):
                if i > 1:
                    y = preactivated(state, f'{name}.bn{i}', y)
                y = conv(state, f'{name}.conv{i}', y, stride if i == strided else 1)
            x = shortcut + y
    return preactivated(state, 'final_norm', x)


@pytest.mark.parametrize(
    ('model', 'args'),
    (
        (PreResNet(29), (3, 3, False)),
        (PreResNet(20, block='basic'), (3, 2, False)),
        (WideResNet(16, 4), (2, 2, True)),
        (WideResNet(16, 1), (2, 2, True)),
    ),
    ids=('bottleneck', 'basic', 'wide', 'narrow'),
)
@torch.no_grad()
def test_preactivation_equals_restatement(model, args):
    model = randomize(model).double().eval()
    x = torch.randn(2, 3, 33, 47, dtype=torch.float64)
    expected = restated_preactivation(model.state_dict(), x, *args)
    torch.testing.assert_close(model(x)[0], expected, rtol=1e-10, atol=1e-10)


def restated_cifar(state, x, num_blocks, convs, norms=True, skip=True, projection_norms=True):
    """Deep Residual Learning, section 4.2, with projections; the ablations of DIANet."""

    def normed(name, x):
        return norm(state, name, x) if norms else x

    x = F.relu(normed('bn1', conv(state, 'conv1', x)))
    for stage in (1, 2, 3):
        for block in range(num_blocks):
            name = f'layer{stage}.{block}'
            stride = 2 if stage > 1 and block == 0 else 1
            shortcut = x
            if block == 0 and skip:
                shortcut = conv(state, f'{name}.downsample.0', x, stride)
                if projection_norms:
                    shortcut = norm(state, f'{name}.downsample.1', shortcut)
            y = x
            strided = 1 if convs == 2 else 2
            for i in range(1, convs + 1):
                y = F.relu(y) if i > 1 else y
                y = conv(state, f'{name}.conv{i}', y, stride if i == strided else 1)
                y = normed(f'{name}.bn{i}', y)
            x = F.relu(shortcut + y) if skip else F.relu(y)
    return x


@pytest.mark.parametrize(
    ('args', 'restated'),
    (
        (dict(depth=29), (3, 3)),
        (dict(depth=20, block='basic'), (3, 2)),
        (dict(depth=20, normalize=False), (2, 3, False)),
        (dict(depth=20, normalize_projections=False), (2, 3, True, True, False)),
        (
            dict(depth=20, normalize=False, normalize_projections=False),
            (2, 3, False, True, False),
        ),
        (dict(depth=20, skip_connections=False), (2, 3, True, False)),
    ),
    ids=str,
)
@torch.no_grad()
def test_cifar_resnet_equals_restatement(args, restated):
    model = randomize(CIFARResNet(**args)).double().eval()
    x = torch.randn(2, 3, 33, 47, dtype=torch.float64)
    expected = restated_cifar(model.state_dict(), x, *restated)
    torch.testing.assert_close(model(x)[0], expected, rtol=1e-10, atol=1e-10)


def test_without_norms_only_shortcuts_have_some():
    model = CIFARResNet(29, normalize=False, interaction=dict(type='mmdia.DIALSTM', ratio=16))
    norms = {name for name, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)}
    assert norms == {f'layer{i}.0.downsample.1' for i in (1, 2, 3)}
    assert not any(name.endswith('conv1.bias') for name, _ in model.named_parameters())


def test_no_norms_at_all():
    model = CIFARResNet(20, normalize=False, normalize_projections=False)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    removed = set(CIFARResNet(20, normalize=False).state_dict()) - set(model.state_dict())
    assert {name.rpartition('.')[0] for name in removed} == {
        f'layer{i}.0.downsample.1' for i in (1, 2, 3)
    }


def test_deep_stem_without_norms_has_no_biases():
    model = ResNet(18, base_channels=8, deep_stem=True, normalize=False)
    assert not any(name.startswith('stem.') and 'bias' in name for name in model.state_dict())


@pytest.mark.parametrize(
    ('cls', 'args'),
    ((ResNet, (18,)), (ResNet, (50,)), (WideResNet, (16, 2)), (PreResNet, (164,))),
)
def test_dropout_stands_before_the_last_convolution(cls, args):
    block = cls(*args, drop_rate=1 - 1e-6).layer2[0].train()
    inputs = []
    for i in range(block.num_convs):
        getattr(block, f'conv{i + 1}').register_forward_hook(
            lambda module, args, out: inputs.append(args[0])
        )
    block(torch.randn(2, block.in_channels, 8, 8))
    *before, last = inputs
    assert all(x.any() for x in before) and not last.any()


@pytest.mark.parametrize('depth', (20, 164, 407))
def test_shared_unit_does_not_grow_with_depth(depth):
    # 2 [(N m + m) + (m 4N + 4N)], m = N // 4, for N = 64, 128, 256
    expected = sum(2 * (n * n // 4 + n // 4 + n // 4 * 4 * n + 4 * n) for n in (64, 128, 256))
    with torch.device('meta'):
        model = CIFARResNet(depth, interaction=dict(type='mmdia.DIALSTM', ratio=4))
    assert sum(p.numel() for i in model.interactions() for p in i.parameters()) == expected


@pytest.mark.parametrize(
    ('cls', 'args', 'message'),
    (
        (CIFARResNet, dict(depth=21), r'depth must be 9n \+ 2 with n an integer, got 21'),
        (CIFARResNet, dict(depth=29, block='basic'), r'depth must be 6n \+ 2 .*, got 29'),
        (CIFARResNet, dict(depth=2), 'depth must be an integer in 11 ... 10000, got 2'),
        (CIFARResNet, dict(depth=20, block='wide'), "block must be one of .* got 'wide'"),
        (WideResNet, dict(depth=50, widen_factor=4), r'depth must be 6n \+ 4 .*, got 50'),
        (WideResNet, dict(depth=16, widen_factor=0), 'widen_factor must .*, got 0'),
        (
            CIFARResNet,
            dict(depth=20, drop_rate=1),
            r'drop_rate must be a number in \[0, 1\), got 1',
        ),
        (ResNet, dict(depth=18, groups=2), 'groups needs blocks with bottlenecks, got 2'),
        (ResNet, dict(depth=18, base_width=4), 'base_width needs blocks with bottlenecks, got 4'),
        (ResNet, dict(depth=50, groups=0), 'groups must be .*, got 0'),
        (ResNet, dict(depth=50, base_width=0), 'base_width must be .*, got 0'),
        (ResNet, dict(depth=50, small_stem=True, deep_stem=True), 'must not both be True'),
        (PreResNet, dict(depth=20, normalize=False), 'normalize must be True in pre-activation'),
        (
            PreResNet,
            dict(depth=20, normalize_projections=False),
            'normalize_projections must be True in pre-activation networks, got False',
        ),
        (
            PreResNet,
            dict(depth=20, small_stem=False, deep_stem=True),
            'deep_stem must be False in pre-activation networks',
        ),
        (PreResNet, dict(depth=20, zero_init_residual=True), 'zero_init_residual=True needs'),
        (
            ResNet,
            dict(depth=18, normalize=False, zero_init_residual=True),
            'zero_init_residual=True needs branches that end with a norm, got normalize=False',
        ),
    ),
)
def test_argument_is_refused(cls, args, message):
    with pytest.raises(ValueError, match=message):
        cls(**args)


@pytest.mark.parametrize('cls', (ResNet, DIAResNet))
def test_defaults_fit_the_ablation_without_norms(cls):
    model = cls(18, base_channels=8, normalize=False, **(dict(ratio=4) if cls is DIAResNet else {}))
    assert not any('bn' in name for name, _ in model.named_parameters())


def test_nothing_follows_a_preactivated_sum():
    model = PreResNet(20, out_indices=(0, 1, 2)).eval()
    early, _, last = model(torch.randn(1, 3, 32, 32))
    assert isinstance(model.layer1[0], PreActivationBlock)
    assert early.min() < 0 <= last.min()


@torch.no_grad()
@pytest.mark.parametrize('size', ((28, 28), (5, 40), (1, 1)))
def test_images_smaller_than_the_stride(size):
    """As the networks of torchvision do: maps shrink to one pixel, and no further."""
    model = slim_resnet('mmdia.DLALight', 50).eval()
    (level,) = model(torch.rand(2, 3, *size))
    assert level.shape == (2, 256, -(-size[0] // 32), -(-size[1] // 32))
