"""What is recorded is what the blocks compute, and recording changes nothing."""

from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from mmdia.apis import list_attentions
from mmdia.models import DIAResNet, LayerInteraction, ResNet, record
from mmdia.models.attentions import build_attention
from mmdia.models.utils.recording import LISTENERS
from mmdia.registry import MODELS
from mmdia.visualization import Recorder
from tests.helpers import INTERACTIONS, needs_compiler, randomize, slim_resnet

STATE = ('hidden', 'memory')
NAMES = {
    'mmdia.BlockAttention': {'gate'},
    'mmdia.DIALSTM': {'gate', *STATE},
    'mmdia.DIALSTMLight': {'gate', *STATE},
    'mmdia.DLABase': {'layer_score', 'renewal', *STATE},
    'mmdia.DLALight': {'own_score', 'shortcut_gate', *STATE},
    'mmdia.LII': {'gate', *STATE},
    'mmdia.LayerAggregation': {'hidden'},
    'mmdia.LayerInteraction': set(),
    'mmdia.MRLABase': {'layer_score'},
    'mmdia.MRLALight': {'own_score'},
    'mmdia.RLA': {'layer_gate', *STATE},
    'mmdia.SharedAttention': {'gate'},
}
ATTENTIONS = {
    'mmdia.CBAM': {'gate', 'spatial_gate'},
    'mmdia.GC': {'spatial_weight', 'added'},
    'mmdia.NonLocal': {'pair_weight'},
    'mmdia.SGE': {'spatial_gate'},
}


def network(interaction, **kwargs):
    torch.manual_seed(0)
    return randomize(slim_resnet(interaction, num_stages=2, small_stem=True, **kwargs))


def with_attention(attention, shared=False):
    args = dict(type=attention)
    args |= {'mmdia.SGE': dict(groups=2)}.get(attention, {})
    args |= dict.fromkeys({'ratio'} & set(MODELS.get(attention).__init__.__annotations__), 2)
    interaction = 'mmdia.SharedAttention' if shared else 'mmdia.BlockAttention'
    return network(interaction, interaction_args=dict(attention=args))


@pytest.fixture
def images():
    return torch.rand(3, 3, 9, 12, generator=torch.Generator().manual_seed(0))


def step(model, images, **kwargs):
    """Outputs, gradients and buffers of a training step."""
    torch.manual_seed(1)
    (out,) = model.train()(images)
    out.square().mean().backward()
    return [out, *(p.grad for p in model.parameters()), *model.buffers()]


@pytest.mark.parametrize('interaction', INTERACTIONS)
def test_training_is_the_same_to_the_bit(interaction, images):
    model = network(interaction, interaction_args=dict(act_cfg=dict(type='ReLU')))
    expected = step(deepcopy(model), images)
    with Recorder(model, [*NAMES[interaction], 'output', 'gradient']) as recorder:
        results = step(model, images)
    for result, reference in zip(results, expected, strict=True):
        assert result is reference is None or torch.equal(result, reference)
    assert recorder.records.keys() == NAMES[interaction] | {'output', 'gradient'}
    for records in recorder.records.values():
        for each in records.values():
            assert each.count == 3 and not each.samples.requires_grad
    model.zero_grad()
    assert not LISTENERS and hooks_of(model) == 0


def hooks_of(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


@pytest.mark.parametrize('interaction', INTERACTIONS)
def test_every_method_says_what_it_computes(interaction, images):
    model = network(interaction).eval()
    with Recorder(model) as recorder, torch.no_grad():
        model(images)
    assert recorder.records.keys() == NAMES[interaction]
    for name, records in recorder.records.items():
        blocks = recorder.blocks
        if interaction == 'mmdia.LayerAggregation':
            blocks = blocks[:-1]  # what the last block would leave is read by nobody
        if name == 'renewal':
            blocks = ['layer1.1', 'layer2.1']  # there is nothing to renew in the first ones
        assert list(records) == blocks


@pytest.mark.parametrize('shared', [False, True])
@pytest.mark.parametrize('attention', list_attentions())
def test_every_attention_in_every_block(attention, shared, images):
    model = with_attention(attention, shared).eval()
    with Recorder(model) as recorder, torch.no_grad():
        model(images)
    assert recorder.records.keys() == ATTENTIONS.get(attention, {'gate'})
    for records in recorder.records.values():
        assert list(records) == ['layer1.0', 'layer1.1', 'layer2.0', 'layer2.1']


class Alone(nn.Module):
    """What makes a recorder listen to an attention: it is in a block."""

    def __init__(self, attention):
        super().__init__()
        interaction = LayerInteraction(8, 1)
        interaction.forward = lambda branch, identity, state, index: (attention(branch), state)
        self.model = ResNet(18, None, base_channels=8, num_stages=1, small_stem=True)
        self.model.layer1.interaction = interaction


@pytest.mark.parametrize('attention', ['mmdia.SE', 'mmdia.CBAM', 'mmdia.SGE', 'mmdia.GC'])
def test_attentions_are_what_is_recorded(attention, images):
    torch.manual_seed(0)
    args = dict(groups=2) if attention == 'mmdia.SGE' else dict(ratio=2)
    if attention == 'mmdia.GC':
        args['fusion_types'] = ('channel_mul', 'channel_add')
    module = build_attention(dict(type=attention, **args), 8).eval()
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    seen = []
    module.register_forward_hook(lambda _, inputs, output: seen.append((*inputs[:1], output)))
    model = Alone(module).model.eval()
    with Recorder(model) as recorder, torch.no_grad():
        model(images)
    values = {name: records['layer1.0'].samples for name, records in recorder.records.items()}
    x, out = seen[0]
    expected = x
    if 'gate' in values:
        expected = torch.einsum('nchw,nc->nchw', x, values['gate'])
    if 'spatial_gate' in values:
        gate = values['spatial_gate'].repeat_interleave(8 // values['spatial_gate'].shape[1], 1)
        expected = expected * gate
    if 'added' in values:
        expected = expected + values['added'][:, :, None, None]
        context = torch.einsum('nchw,nhw->nc', x, values['spatial_weight'][:, 0])
        added = module.block.channel_add_conv(context[:, :, None, None])[:, :, 0, 0]
        torch.testing.assert_close(values['added'], added)
    torch.testing.assert_close(out, expected)


def test_gates_multiply_the_branch(images):
    model = DIAResNet(18, base_channels=16, small_stem=True, ratio=4, out_indices=(0,)).eval()
    with Recorder(model, ['gate']) as recorder, torch.no_grad():
        expected = model(images)[0]
        x = model.act(model.bn1(model.conv1(images)))
        for block, gate in zip(model.layer1, recorder.by_stage('gate')['layer1']):
            branch, identity = block(x)
            x = torch.relu(identity + branch * gate.samples[:, :, None, None])
    torch.testing.assert_close(x, expected)


def test_scores_are_those_of_the_formula(images):
    model = network('mmdia.MRLABase').eval()
    unit, inputs = model.layer2.interaction.attentions[1], []
    unit.register_forward_hook(lambda _, args, output: inputs.extend(args[1:]))
    with Recorder(model) as recorder, torch.no_grad():
        model(images)
    query, memory = inputs
    heads = (3, 2, unit.head_channels)
    products = torch.einsum('nhd,tnhd->nth', query.view(heads), memory.keys.view(2, *heads))
    expected = (products / unit.head_channels**0.5).softmax(1)
    torch.testing.assert_close(recorder['layer_score']['layer2.1'].samples, expected)
    assert torch.equal(recorder['layer_score']['layer2.0'].samples, torch.ones(3, 1, 2))


def recorded_with_outputs(interaction, images):
    """Of a network: its first interaction, what is recorded, what blocks and interaction return."""
    model = network(interaction).eval()
    blocks, states = [], []
    for block in model.layer1:
        block.register_forward_hook(lambda module, args, out: blocks.append(out))
    model.layer1.interaction.register_forward_hook(lambda module, args, out: states.append(out[1]))
    with Recorder(model) as recorder, torch.no_grad():
        model(images)
    return model.layer1.interaction, recorder, blocks, states


def cell_state(recorder, block):
    return tuple(recorder[name][block].samples for name in STATE)


@torch.no_grad()
def test_shortcuts_are_multiplied_by_what_is_recorded(images):
    interaction, recorder, blocks, _ = recorded_with_outputs('mmdia.DLALight', images)
    for i, (_, identity) in enumerate(blocks):
        state = cell_state(recorder, f'layer1.{i}')
        gate, _ = interaction.cell(identity.mean((2, 3)), state)
        torch.testing.assert_close(recorder['shortcut_gate'][f'layer1.{i}'].samples, gate)


@torch.no_grad()
def test_values_are_multiplied_by_what_is_recorded(images):
    interaction, recorder, _, states = recorded_with_outputs('mmdia.DLABase', images)
    gates, _ = interaction.cell(states[0].vectors, cell_state(recorder, 'layer1.1'))
    renewal = recorder['renewal']['layer1.1'].samples
    torch.testing.assert_close(renewal, gates[:, 1].movedim(1, 0))
    torch.testing.assert_close(states[1].gains[:1], renewal.movedim(0, 1))


def test_statistics_are_those_of_all_samples_together():
    model = network('mmdia.DIALSTM', interaction_args=dict(ratio=2)).eval()
    batches = torch.rand(10, 3, 8, 8).split((4, 1, 5))
    names = ['gate', 'output']
    with Recorder(model, names, 6) as recorder, Recorder(model, names) as whole, torch.no_grad():
        for batch in batches:
            model(batch)
    for name, dims in dict(gate=0, output=(0, 2, 3)).items():
        for block in recorder.blocks:
            few, everything = recorder[name][block], whole[name][block].samples
            assert few.count == 10 and torch.equal(few.samples, everything[:6])
            assert torch.equal(few.values, few.samples.flatten())
            everything = everything.double()
            torch.testing.assert_close(few.mean, everything.mean(dims), rtol=1e-5, atol=1e-6)
            variance = everything.var(dims, correction=0)
            torch.testing.assert_close(few.variance, variance, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize('attention', ATTENTIONS)
def test_maps_of_different_sizes(attention):
    model = with_attention(attention).eval()
    with Recorder(model) as recorder, torch.no_grad():
        for size in ((3, 3, 8, 8), (1, 3, 12, 8), (2, 3, 12, 8)):
            model(torch.rand(size))
    for name in ATTENTIONS[attention]:
        for kept in recorder[name].values():
            assert kept.count == 6 and kept.values.isfinite().all()
            # Pairs of positions are others in other maps.
            assert kept.mean.isnan().all() == (name == 'pair_weight')
            assert kept.variance.isnan().all() == (name == 'pair_weight')


def test_gradients_are_those_of_autograd(images):
    model = network('mmdia.DLALight')
    outputs = []
    for stage in model.stages():
        for output in stage.outputs:
            output.register_forward_hook(lambda _, inputs, x: outputs.append(x))
    with Recorder(model, ['gradient']) as recorder:
        loss = model(images)[0].square().sum()
        expected = torch.autograd.grad(loss, outputs)
    assert list(recorder['gradient']) == recorder.blocks
    for kept, gradient in zip(recorder['gradient'].values(), expected, strict=True):
        assert torch.equal(kept.samples, gradient)


def test_blocks_that_are_computed_again_count_once(images):
    plugin = dict(cfg=dict(type='mmdia.SE', ratio=2), position='after_conv2')
    args = dict(interaction_args=dict(ratio=2), with_cp=True, plugins=[plugin])
    model = network('mmdia.DIALSTM', depth=50, **args)
    with Recorder(model) as recorder:
        step(model, images)
    # The plugin's gate comes first, the interaction's second.
    assert recorder.records.keys() == {'gate', 'gate_2', *STATE}
    assert all(r.count == 3 for records in recorder.records.values() for r in records.values())


@pytest.mark.parametrize('reentrant', (True, False))
@pytest.mark.parametrize('interaction', INTERACTIONS)
def test_networks_that_are_computed_again_count_once(interaction, reentrant, images):
    """Checkpoints from outside run blocks, and what is around them, in the backward pass."""
    model = network(interaction)
    names = [*NAMES[interaction], 'output', 'gradient']
    with Recorder(model, names) as expected:
        step(model, images)
    model = network(interaction)
    with Recorder(model, names) as recorder:
        (out,) = checkpoint(model.train(), images.requires_grad_(), use_reentrant=reentrant)
        out.square().mean().backward()
        DIAResNet(18, num_stages=1, ratio=8)(images)  # of another model nothing is recorded
    assert recorder.records.keys() == expected.records.keys()
    for name in names:
        assert recorder[name].keys() == expected[name].keys()
        for block, kept in recorder[name].items():
            assert kept.count == 3
            torch.testing.assert_close(kept.samples, expected[name][block].samples)


def test_a_method_of_a_user_needs_one_line(images):
    class Constant(LayerInteraction):
        def forward(self, branch, identity, state, index):
            record('half', branch.new_full((len(branch), 1), 0.5))
            return self.act(identity + 0.5 * branch), state

    model = network('mmdia.LayerInteraction').eval()
    model.layer2.interaction = Constant(16, 2)
    with Recorder(model) as recorder:
        model(images)
    half = recorder['half']
    assert list(half) == ['layer2.0', 'layer2.1']
    assert half['layer2.1'].mean == 0.5 and half['layer2.1'].variance == 0


def test_only_the_model_in_question(images):
    model, other = network('mmdia.DIALSTM'), network('mmdia.DIALSTM')
    with Recorder(model) as recorder:
        other(images)
    assert not recorder.records
    model(images)  # no more
    assert not recorder.records


def test_a_model_that_fails_is_left_without_hooks():
    model = network('mmdia.DIALSTM')
    with pytest.raises(RuntimeError), Recorder(model):
        model(torch.rand(1, 5, 8, 8))
    assert not LISTENERS and hooks_of(model) == 0


@needs_compiler
def test_compiled(images):
    model = network('mmdia.DIALSTM').eval()
    model.compile(backend='eager')
    with torch.no_grad():
        expected = model(images)[0]
        with Recorder(nn.Sequential(model), ['gate']) as recorder:
            assert torch.equal(model(images)[0], expected)
    assert recorder['gate']['0.layer1.0'].count == 3


def test_wrong_arguments(images):
    model = network('mmdia.DIALSTM')
    with pytest.raises(ValueError, match="residual blocks of mmdia, got 'Linear'"):
        Recorder(nn.Linear(2, 2))
    with pytest.raises(TypeError, match='names'):
        Recorder(model, 'gate')
    with pytest.raises(ValueError, match='max_samples'):
        Recorder(model, max_samples=-1)
    with Recorder(model, ['gate', 'output']) as recorder, torch.no_grad():
        model(images)
        model(torch.rand(1, 3, 16, 16))
    with pytest.raises(KeyError, match='gate, output'):
        recorder['score']
    with pytest.raises(ValueError, match='differ in size'):
        _ = recorder['output']['layer1.0'].samples
