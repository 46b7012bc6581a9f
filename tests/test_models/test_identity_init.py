"""With a plain trunk's weights, every method starts as the plain network.

Slim networks are in test_behaviour.py and test_trunks.py.
"""

import pytest
import torch
from torch import nn

from mmdia.models import DIALSTM, LSTMCell, ResNet

from ..helpers import INTERACTIONS, randomize

ALL_LEVELS = dict(out_indices=(0, 1, 2, 3))


@pytest.mark.parametrize('interaction', INTERACTIONS)
@torch.no_grad()
def test_full_width(interaction):
    # of the size that detectors use, with the defaults of every method
    plain = randomize(ResNet(18, **ALL_LEVELS)).eval()
    model = ResNet(18, dict(type=interaction, identity_init=True), **ALL_LEVELS).eval()
    model.init_weights()
    model.load_state_dict(plain.state_dict(), strict=False)
    x = torch.randn(1, 3, 65, 97)
    for level, expected in zip(model(x), plain(x), strict=True):
        assert torch.equal(level, expected)


class Extended(DIALSTM):
    """As a project derives a method from one of ours."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.head = nn.Linear(self.channels, self.channels)

    def gate(self, pooled, state, index):
        gate, state = super().gate(pooled, state, index)
        return gate * torch.sigmoid(self.head(gate)), state

    def zero_gate(self):
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        return super().zero_gate() / 2


class NormalizedCell(LSTMCell):
    """A cell that has more than projections."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.norm = nn.LayerNorm(self.hidden_channels)

    def step(self, gates, memory):
        hidden, memory = super().step(gates, memory)
        return torch.sigmoid(hidden), memory


@torch.no_grad()
@pytest.mark.parametrize(
    'interaction',
    (dict(type=Extended, ratio=4), dict(type='mmdia.LII', cell=dict(type=NormalizedCell))),
)
def test_derived_methods(interaction):
    """They add layers once the constructor of ours is done."""
    plain = randomize(ResNet(18, base_channels=8)).eval()
    model = ResNet(18, dict(interaction, identity_init=True), base_channels=8).eval()
    for _ in range(2):  # also without init_weights()
        model.load_state_dict(plain.state_dict(), strict=False)
        x = torch.randn(2, 3, 65, 97)
        assert torch.equal(model(x)[0], plain(x)[0])
        model.init_weights()
