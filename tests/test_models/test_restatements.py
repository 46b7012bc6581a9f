"""Every method computes what its paper's formulas say."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from mmdia.models import LSTMCell, ResNet

from ..helpers import INTERACTIONS, randomize
from ..restatements import RESTATEMENTS

# Dynamic Layer Attention as its equations say, but for one cell a stage.
DSU_EQUATIONS = dict(type='mmdia.DSUCell', fusion='concat', initial_memory='random')
DLA_LIGHT_EQUATIONS = dict(
    type='mmdia.DLALight',
    cell=DSU_EQUATIONS,
    gate='memory',
    excite=False,
    previous='attention',
    weighting='softmax',
)
DLA_BASE_EQUATIONS = dict(
    type='mmdia.DLABase', cell=DSU_EQUATIONS, gate='memory', renewed='features'
)


class Blocks:
    """The blocks of a network as functions from an array to its two halves."""

    def __init__(self, model, images):
        self.model = model
        stem = torch.nn.Sequential(*model.stem_modules())(images)
        self.start = stem.numpy()

    def __iter__(self):
        for stage in range(1, 5):
            for index, block in enumerate(getattr(self.model, f'layer{stage}')):
                yield Block(block, f'layer{stage}', index)


class Block(SimpleNamespace):
    def __init__(self, block, stage, index):
        super().__init__(block=block, stage=stage, index=index, starts_stage=index == 0)

    def __call__(self, x, h=None, weight=None):
        """The halves; with h, of a block whose first convolution reads h beside x."""
        x = torch.from_numpy(x)
        branch, identity = (half.numpy() for half in self.block(x))
        if weight is None:
            return branch, identity
        reading = copy.deepcopy(self.block)
        reading.conv1.weight = nn.Parameter(
            torch.cat((reading.conv1.weight, torch.from_numpy(weight)), dim=1)
        )
        return reading.branch(torch.cat((x, torch.from_numpy(h)), dim=1)).numpy(), identity


@torch.no_grad()
def assert_equals_restatement(interaction, depth=18, batch_size=2):
    # 32 and more channels a stage: the default heads of 32 channels fit.
    model = randomize(ResNet(depth, interaction, base_channels=32)).double().eval()
    # Blocks that add little keep the attention away from 0 and 1.
    for stage in model.stages():
        for block in stage:
            getattr(block, block.norm_names[-1]).weight.mul_(0.2)
    images = torch.randn(batch_size, 3, 65, 97, dtype=torch.float64)

    args = {key: value for key, value in interaction.items() if key != 'type'}
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    expected = RESTATEMENTS[interaction['type']](weights, Blocks(model, images), **args)

    (output,) = model(images)
    np.testing.assert_allclose(output.numpy(), expected, rtol=1e-10, atol=1e-10)


# That images do not depend on others in the batch is in test_behaviour.py.
@pytest.mark.parametrize(('depth', 'batch_size'), ((18, 4), (50, 1)))
@pytest.mark.parametrize('interaction', INTERACTIONS)
def test_forward_equals_restatement(interaction, depth, batch_size):
    assert_equals_restatement(dict(type=interaction), depth, batch_size)


@pytest.mark.parametrize(
    'interaction',
    (
        dict(type='mmdia.DIALSTM', ratio=3),
        dict(type='mmdia.DIALSTM', ratio=4, activation='tanh'),
        dict(type='mmdia.DIALSTM', ratio=4, activation='relu'),
        dict(type='mmdia.DIALSTM', ratio=4, num_cells=3),
        dict(type='mmdia.DIALSTM', ratio=4, extra_norm=True),
        dict(type='mmdia.DIALSTM', ratio=4, stages=(True, False, True, False)),
        dict(type='mmdia.LII', cell=dict(type='mmdia.DIACell', ratio=4)),
        dict(type='mmdia.LII', cell=dict(type='mmdia.LSTMCell')),
        dict(type='mmdia.LII', cell=dict(type='mmdia.RNNCell')),
        dict(type='mmdia.LII', cell=dict(type='mmdia.DSUCell', input_activation='tanh')),
        dict(type='mmdia.LII', cell=dict(type='mmdia.DSUCell', input_activation='relu')),
        dict(type='mmdia.LII', cell=dict(type='mmdia.DSUCell', input_activation='identity')),
        dict(type='mmdia.LII', cell=dict(type='mmdia.DSUCell', fusion='concat', ratio=4)),
        dict(type='mmdia.DLALight', cell=dict(type='mmdia.DSUCell', fusion='concat', ratio=4)),
        dict(type='mmdia.DLALight', cell=dict(type='mmdia.DIACell', ratio=4)),
        dict(type='mmdia.DLALight', cell=dict(type='mmdia.LSTMCell')),
        dict(type='mmdia.DLALight', cell=dict(type='mmdia.RNNCell')),
        dict(type='mmdia.DLALight', excite=False, ratio=5, head_channels=16),
        dict(type='mmdia.DLALight', gate='memory'),
        dict(type='mmdia.DLALight', previous='attention'),
        dict(type='mmdia.DLALight', weighting='softmax'),
        dict(type='mmdia.DLALight', cell=dict(type='mmdia.DSUCell', initial_memory='random')),
        dict(type='mmdia.MRLALight', head_channels=8),
        dict(type='mmdia.MRLALight', previous='attention', weighting='softmax'),
        dict(type='mmdia.MRLABase', head_channels=8),
        dict(type='mmdia.DLABase', head_channels=16, cell=dict(type='mmdia.RNNCell')),
        dict(type='mmdia.DLABase', cell=dict(type='mmdia.DSUCell', fusion='concat', ratio=4)),
        dict(type='mmdia.DLABase', gate='memory'),
        dict(type='mmdia.DLABase', renewed='features', head_channels=16),
        dict(type='mmdia.LII', cell=dict(type='mmdia.DSUCell', initial_memory='random')),
        dict(type='mmdia.SharedAttention', attention=dict(type='mmdia.SRM')),
        dict(type='mmdia.SharedAttention', attention=dict(type='mmdia.SRM'), share_norms=True),
        dict(type='mmdia.LayerAggregation', state_channels=6),
        dict(type='mmdia.LayerAggregation', append_state=True),
        dict(type='mmdia.RLA', gate='vector'),
        dict(type='mmdia.RLA', context='gmp'),
        dict(type='mmdia.RLA', context='gap+mlp'),
        dict(type='mmdia.RLA', context='gmp+mlp', position='sum', upsample='linear'),
        dict(type='mmdia.RLA', attention=dict(type='mmdia.SE', ratio=4)),
        dict(type='mmdia.RLA', attention=dict(type='mmdia.SE', ratio=4), position='sum'),
        # 48 neither divides the stages' channels nor is divided by them.
        dict(type='mmdia.RLA', context_channels=48, hidden_channels=10, ratio=3),
    ),
    ids=lambda cfg: ' '.join(map(str, cfg.values())),
)
def test_arguments_equal_restatement(interaction):
    assert_equals_restatement(interaction)


@pytest.mark.parametrize('interaction', (DLA_LIGHT_EQUATIONS, DLA_BASE_EQUATIONS))
def test_equations_of_dla(interaction):
    # stages of three and more blocks: what is renewed is renewed again
    assert_equals_restatement(interaction, depth=50)


def test_lstm_cell_starts_as_that_of_pytorch():
    # uniform within the inverse root of the hidden size
    for parameter in LSTMCell(400, 100).parameters():
        assert 0.099 < parameter.abs().max() <= 0.1


def test_lstm_cell_is_that_of_pytorch():
    ours, theirs = LSTMCell(6, 4).double(), nn.LSTMCell(6, 4).double()
    ours.load_state_dict(
        {
            'input_gates.weight': theirs.weight_ih,
            'input_gates.bias': theirs.bias_ih,
            'hidden_gates.weight': theirs.weight_hh,
            'hidden_gates.bias': theirs.bias_hh,
        }
    )
    state = expected = None
    for x in torch.randn(3, 2, 6, dtype=torch.float64):
        state, expected = ours(x, state), theirs(x, expected)
        torch.testing.assert_close(state, expected, rtol=0, atol=1e-14)
