"""Small networks of every method on every kind of trunk, for the tools that people use."""

import copy
from functools import cache

import pytest
import torch

from mmdia.registry import MODELS

from ...helpers import INTERACTIONS, SLIM, randomize

TRUNKS = {
    'ResNet-18': dict(type='ResNet', depth=18, base_channels=8, num_stages=2),
    'CIFARResNet': dict(type='CIFARResNet', depth=20, base_channels=8, num_stages=2),
    'PreResNet': dict(type='PreResNet', depth=20, base_channels=8, num_stages=2),
    'WideResNet': dict(type='WideResNet', depth=16, widen_factor=1, num_stages=2),
}
each_network = pytest.mark.parametrize(
    ('interaction', 'trunk'), [(i, t) for i in INTERACTIONS for t in TRUNKS]
)
# For what takes seconds: every method on one trunk, and every trunk with one method.
each_part = pytest.mark.parametrize(
    ('interaction', 'trunk'),
    [(i, t) for i in INTERACTIONS for t in TRUNKS if t == 'ResNet-18' or i == 'mmdia.DLALight'],
)


@cache
def prototype(interaction, trunk, activation):
    """A network whose weights and statistics are the same in every call."""
    torch.manual_seed(0)
    cfg = dict(type=interaction) | SLIM.get(interaction, {})
    act_cfg = dict(type=activation, inplace=False)
    model = MODELS.build(dict(TRUNKS[trunk], interaction=cfg, act_cfg=act_cfg, _scope_='mmdia'))
    model.init_weights()
    return randomize(model).double().eval()


def network(interaction, trunk, activation='ReLU'):
    """A network of its own, in double precision and in evaluation mode."""
    return copy.deepcopy(prototype(interaction, trunk, activation))


def images(batch_size=2, size=(16, 16), dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch_size, 3, *size, dtype=dtype, generator=generator)


def assert_same(actual, expected, rtol=1e-9, atol=1e-11):
    torch.testing.assert_close(actual, expected, rtol=rtol, atol=atol)
