"""Pretrained weights: what is loaded, what is refused, and what is then frozen."""

import pickle
from pathlib import Path

import pytest
import torch
from mmengine.model import BaseModule, PretrainedInit
from torch import nn

from mmdia.models import BasicBlock, DIAResNet, DLAResNet, ResNet
from mmdia.models.backbones import base
from mmdia.models.utils import our_names
from mmdia.models.utils.pretrained import loading_report

from ..helpers import INTERACTIONS, randomize, slim_resnet

SLIM = dict(depth=18, base_channels=8)
SLIM_DLA = dict(**SLIM, ratio=4, head_channels=8)


@pytest.fixture
def save(tmp_path):
    def save_checkpoint(state):
        path = tmp_path / 'checkpoint.pth'
        torch.save(state, path)
        return str(path)

    return save_checkpoint


def pretrained(checkpoint, **kwargs):
    return dict(type='Pretrained', checkpoint=checkpoint, **kwargs)


@pytest.mark.parametrize('wrap', ('bare', 'backbone', 'module', 'list'))
def test_plain_trunk_loads_bit_identically(save, wrap):
    trunk = randomize(ResNet(**SLIM)).eval()
    prefix = {'backbone': 'backbone.', 'module': 'module.backbone.'}.get(wrap, '')
    state = {f'{prefix}{k}': v for k, v in trunk.state_dict().items()}
    state[f'{"fc" if not prefix else "head.fc"}.weight'] = torch.zeros(2, 2)
    cfg = pretrained(save(state if wrap == 'bare' else dict(state_dict=state)))
    if wrap == 'list':
        # A list that initialises too must not undo what was loaded.
        cfg = [*ResNet.default_init_cfg, cfg]
    model = DIAResNet(**SLIM, ratio=4, identity_init=True, init_cfg=cfg)
    model.init_weights()
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(model.eval()(x)[0], trunk(x)[0])


def test_projections_that_follow_a_pooling_are_not_those_of_others():
    ours, theirs = ResNet(**SLIM), ResNet(**SLIM, avg_down=True)
    state = theirs.state_dict()
    assert our_names(state, ours.state_dict()).keys() == state.keys()


@pytest.mark.parametrize('kind', ('mmengine.Pretrained', 'mmdia.Pretrained', PretrainedInit))
@pytest.mark.parametrize('as_path', (False, True))
def test_other_names_of_the_initializer(save, kind, as_path):
    trunk = randomize(ResNet(**SLIM))
    path = save(trunk.state_dict())
    cfg = dict(type=kind, checkpoint=Path(path) if as_path else path)
    model = ResNet(**SLIM, zero_init_residual=True, init_cfg=cfg)
    model.init_weights()
    assert torch.equal(model.layer1[0].bn2.weight, trunk.layer1[0].bn2.weight)


def test_no_initialization():
    model = ResNet(**SLIM)
    before = model.conv1.weight.clone()
    model.init_cfg = None
    model.init_weights()
    assert torch.equal(model.conv1.weight, before)


@pytest.mark.parametrize('started', (False, True))
@pytest.mark.parametrize('interaction', INTERACTIONS)
@torch.no_grad()
def test_attended_checkpoint_restores_the_interactions(save, interaction, started):
    source = randomize(slim_resnet(interaction, interaction_args=dict(identity_init=started)))
    for p in source.parameters():
        p += 0.01 * torch.randn_like(p)
    # However the other model starts, the weights decide.
    for identity_init in (False, True):
        model = slim_resnet(
            interaction,
            interaction_args=dict(identity_init=identity_init),
            init_cfg=pretrained(save(source.state_dict())),
        )
        x = torch.randn(1, 3, 64, 64)
        assert torch.equal(model.eval()(x)[0], source.eval()(x)[0])


@pytest.mark.parametrize(
    ('change', 'message'),
    (
        (lambda s: s.pop('layer2.0.conv1.weight'), 'layer2.0.conv1.weight: missing'),
        (
            lambda s: s.update({'conv1.weight': torch.zeros(8, 1, 7, 7)}),
            r'conv1.weight: \(8, 1, 7, 7\) in the checkpoint, \(8, 3, 7, 7\) in the model',
        ),
        (
            lambda s: [s.pop(k) for k in list(s) if k != 'conv1.weight'],
            'bn1.bias: missing',
        ),
    ),
)
def test_incomplete_trunk_is_refused_and_nothing_changed(save, change, message):
    state = ResNet(**SLIM).state_dict()
    change(state)
    model = DIAResNet(**SLIM, ratio=4, init_cfg=pretrained(save(state)))
    before = {k: v.clone() for k, v in model.state_dict().items() if 'running' in k}
    with pytest.raises(ValueError, match=message):
        model.init_weights()
    assert all(torch.equal(model.state_dict()[k], v) for k, v in before.items())


def test_second_init_leaves_trained_weights_alone(save):
    model = ResNet(**SLIM, init_cfg=pretrained(save(ResNet(**SLIM).state_dict())))
    model.init_weights()
    nn.init.zeros_(model.conv1.weight)
    model.init_weights()
    assert not model.conv1.weight.any()


def test_partly_present_interaction_is_refused(save):
    state = DIAResNet(**SLIM, ratio=4).state_dict()
    state.pop('layer2.interaction.gate_scale')
    model = DIAResNet(**SLIM, ratio=4, init_cfg=pretrained(save(state)))
    with pytest.raises(ValueError, match=r'layer2\.interaction\.gate_scale: missing'):
        model.init_weights()


def test_counters_of_norms_may_be_missing(save):
    source = DLAResNet(**SLIM_DLA)
    state = {k: v for k, v in source.state_dict().items() if 'num_batches_tracked' not in k}
    model = DLAResNet(**SLIM_DLA, frozen_stages=4, init_cfg=pretrained(save(state)))
    model.init_weights()
    assert not any(p.requires_grad for p in model.parameters())


def test_misshapen_interaction_is_refused(save):
    state = DIAResNet(**SLIM, ratio=2).state_dict()
    model = DIAResNet(**SLIM, ratio=4, init_cfg=pretrained(save(state)))
    with pytest.raises(ValueError, match=r'layer1\.interaction\.cell'):
        model.init_weights()


def test_wrong_prefix_is_refused(save):
    cfg = pretrained(save(ResNet(**SLIM).state_dict()), prefix='encoder')
    with pytest.raises(ValueError, match=r"prefix 'encoder\.' fits no key"):
        ResNet(**SLIM, init_cfg=cfg).init_weights()


@pytest.mark.parametrize('attended', (False, True))
def test_interactions_are_frozen_only_with_weights_of_their_own(save, attended):
    source = DLAResNet(**SLIM_DLA) if attended else ResNet(**SLIM)
    model = DLAResNet(
        **SLIM_DLA,
        frozen_stages=2,
        norm_eval=True,
        init_cfg=pretrained(save(source.state_dict())),
    )
    model.init_weights()
    # A checkpoint that is resumed does not change the policy.
    model.load_state_dict(DLAResNet(**SLIM_DLA).state_dict())
    model.train()
    for name, p in model.named_parameters():
        in_frozen_stage = name.startswith(('conv1.', 'bn1.', 'layer1.', 'layer2.'))
        in_interaction = 'interaction' in name.split('.')
        assert p.requires_grad != (in_frozen_stage and (attended or not in_interaction)), name
    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.training == (not attended and 'interaction' in name.split('.')), name


@pytest.mark.parametrize('frozen_stages', (3, 4))
def test_network_wide_interaction_is_frozen_with_the_last_stage(save, frozen_stages):
    source = slim_resnet('mmdia.RLA')
    cfg = pretrained(save(source.state_dict()))
    model = slim_resnet('mmdia.RLA', frozen_stages=frozen_stages, init_cfg=cfg).train()
    assert all(p.requires_grad == (frozen_stages < 4) for p in model.interaction.parameters())


def test_norms_of_interactions_learn_beside_a_fixed_trunk():
    model = DLAResNet(**SLIM_DLA, norm_cfg=dict(type='BN', requires_grad=False))
    for name, p in model.named_parameters():
        if 'norm' in name or 'bn' in name:
            assert p.requires_grad == ('interaction' in name.split('.')), name


def test_drop_path_rates_grow_to_the_last_block():
    model = ResNet(**SLIM, drop_path_rate=0.7)
    blocks = [block for stage in model.stages() for block in stage]
    rates = [getattr(block.drop_path, 'drop_prob', 0.0) for block in blocks]
    assert rates == pytest.approx([0.1 * i for i in range(8)])


def test_dropped_branch_is_zero():
    block = BasicBlock(8, 8, drop_path_rate=1 - 1e-6).train()
    assert not block.branch(torch.randn(2, 8, 4, 4)).any()


def test_dropped_attention_leaves_the_plain_block():
    args = dict(attention_drop_path_rate=1 - 1e-6)
    model = slim_resnet('mmdia.MRLALight', interaction_args=args).train()
    branch, identity = torch.randn(2, 2, 8, 4, 4)
    out, _ = model.layer1.interaction(branch, identity, None, 0)
    assert torch.equal(out, torch.relu(branch + identity))


def test_init_weights_of_the_paper():
    model = DLAResNet(**SLIM_DLA)
    model.init_weights()
    block = model.layer1[0]
    assert not block.bn2.weight.any() and (block.bn1.weight == 1).all()
    # Kaiming, fan out: the variance of a 3x3 convolution of C channels is 2 / (9 C).
    weights = torch.cat([b.conv2.weight.flatten() for b in model.layer4])
    assert weights.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.02)
    value = model.layer4.interaction.attentions[0].value.weight
    assert value.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.15)


def test_fresh_interactions_start_alike_beside_a_pretrained_trunk(save):
    plain = ResNet(**SLIM)
    model = DLAResNet(**SLIM_DLA, init_cfg=pretrained(save(plain.state_dict())))
    model.init_weights()
    value = model.layer4.interaction.attentions[0].value.weight
    assert value.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.15)


def test_attentions_inside_rla_keep_their_own_initialisation():
    # The trunk's Kaiming initialisation comes first, theirs has the last word.
    model = slim_resnet(
        'mmdia.RLA', interaction_args=dict(attention=dict(type='mmdia.GC', ratio=4))
    )
    for attention in model.interaction.attentions:
        assert attention.is_init
        assert torch.equal(attention(x := torch.randn(1, attention.in_channels, 4, 4)), x)


@pytest.mark.parametrize('interaction', INTERACTIONS)
def test_all_parts_are_initialised_once(interaction):
    model = slim_resnet(interaction, interaction_args=dict(identity_init=True))
    assert all(m.is_init for m in model.modules() if isinstance(m, BaseModule))
    for p in model.parameters():
        nn.init.ones_(p)
    for module in model.interactions():
        module.init_weights()
    assert all((p == 1).all() for p in model.parameters())


def test_models_can_be_pickled():
    cell = dict(type='mmdia.DSUCell', ratio=2, input_activation='identity')
    model = slim_resnet('mmdia.LII', interaction_args=dict(cell=cell))
    assert pickle.loads(pickle.dumps(model)).state_dict().keys() == model.state_dict().keys()


@pytest.mark.parametrize('position', ('branch', 'sum'))
@torch.no_grad()
def test_rla_with_attention_inside_starts_from_the_plain_network(position):
    plain = randomize(ResNet(**SLIM)).eval()
    args = dict(attention=dict(type='mmdia.SE', ratio=2), position=position, identity_init=True)
    model = slim_resnet('mmdia.RLA', interaction_args=args).eval()
    model.load_state_dict(plain.state_dict(), strict=False)
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(model(x)[0], plain(x)[0])


def test_report_counts_by_group(save, caplog):
    state = {**ResNet(**SLIM).state_dict(), 'fc.weight': torch.zeros(1), 'fc.bias': torch.zeros(1)}
    state['layer9.0.conv1.weight'] = torch.zeros(1)
    model = DIAResNet(**SLIM, ratio=4, init_cfg=pretrained(save(state)))
    own = model.state_dict()
    report = loading_report(own.keys() & state.keys(), own, state)
    stages = sum(k.startswith('layer') and 'interaction' not in k for k in own)
    interactions = sum('interaction' in k for k in own)
    assert [line.split() for line in report.splitlines()] == [
        ['loaded', 'missing', 'unexpected'],
        ['stem', '6', '0', '0'],
        ['stages', str(stages), '0', '1'],
        ['interactions', '0', str(interactions), '0'],
        ['others', '0', '0', '2'],
        ['unexpected:', 'fc.bias,', 'fc.weight,', 'layer9.0.conv1.weight'],
    ]


def test_report_is_logged(save, tmp_path):
    from mmengine.logging import MMLogger

    log = tmp_path / 'run.log'
    MMLogger.get_instance('report', log_file=str(log))
    checkpoint = save(ResNet(**SLIM).state_dict())
    DIAResNet(**SLIM, ratio=4, init_cfg=pretrained(checkpoint)).init_weights()
    text = log.read_text()
    assert checkpoint in text and 'interactions        0' in text


@pytest.mark.parametrize('interaction', INTERACTIONS)
def test_fresh_gates_over_a_plain_checkpoint_are_told(save, monkeypatch, interaction):
    """And nothing is said where they change nothing, or come with the checkpoint."""
    told = []
    monkeypatch.setattr(base, 'print_log', lambda message, **kwargs: told.append(message))

    def load(state, **kwargs):
        told.clear()
        cfg = pretrained(save(state))
        return slim_resnet(interaction, interaction_args=kwargs, init_cfg=cfg).state_dict()

    plain = slim_resnet('mmdia.LayerInteraction').state_dict()
    attended = load(plain)
    assert len(told) == (interaction != 'mmdia.LayerInteraction')
    assert all('identity_init=True' in message for message in told)
    load(plain, identity_init=True)
    assert not told
    load(attended)
    assert not told


@pytest.mark.parametrize('kept', (0, 100, 0.5))
def test_truncated_checkpoint_is_refused(save, tmp_path, kept):
    path = Path(save(ResNet(**SLIM).state_dict()))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept) if kept == 0.5 else kept])
    model = DIAResNet(**SLIM, ratio=4, init_cfg=pretrained(str(path)))
    with pytest.raises(ValueError, match=r'checkpoint\.pth is truncated or not a checkpoint'):
        model.init_weights()


@pytest.mark.parametrize('content', ([1, 2], {}, {'state_dict': {}}, {'epoch': 3}))
def test_file_without_weights_is_refused(save, content):
    model = ResNet(**SLIM, init_cfg=pretrained(save(content)))
    with pytest.raises(ValueError, match='holds no state dict'):
        model.init_weights()


def test_missing_file_is_named(tmp_path):
    model = ResNet(**SLIM, init_cfg=pretrained(str(tmp_path / 'none.pth')))
    with pytest.raises(FileNotFoundError, match=r'none\.pth'):
        model.init_weights()
