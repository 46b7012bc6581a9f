"""A batch without images passes every method as it passes the plain network."""

import pytest
import torch

from mmdia.models import list_attentions
from mmdia.models.cells import build_cell

from ..helpers import INTERACTIONS, SLIM
from .test_argument_values import CELLS
from .test_attentions import slim
from .test_trunks import TRUNKS


def pass_nothing(trunk, interaction):
    """A network that has trained on no images; its outputs in training and in evaluation."""
    cls, args = TRUNKS[trunk]
    model = cls(interaction=dict(type=interaction) | SLIM.get(interaction, {}), **args)
    x = torch.zeros(0, 3, 32, 35, requires_grad=True)
    (out,) = model.train()(x)
    out.sum().backward()
    assert x.grad.shape == x.shape
    with torch.no_grad():
        return model, out, model.eval()(x)[0]


@pytest.mark.parametrize('interaction', INTERACTIONS)
@pytest.mark.parametrize('trunk', TRUNKS)
def test_network(trunk, interaction):
    plain, *expected = pass_nothing(trunk, 'mmdia.LayerInteraction')
    model, *outputs = pass_nothing(trunk, interaction)
    assert [out.shape for out in outputs] == [out.shape for out in expected]
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and not parameter.grad.any(), name
    buffers = dict(model.named_buffers())
    for name, buffer in plain.named_buffers():
        assert torch.equal(buffers[name], buffer), name
    assert all(torch.isfinite(buffer).all() for buffer in buffers.values())


@pytest.mark.parametrize('training', (True, False))
@pytest.mark.parametrize('name', list_attentions())
def test_attention(name, training):
    module = slim(name).train(training)
    x = torch.zeros(0, 8, 5, 7, requires_grad=True)
    out = module(x)
    out.sum().backward()
    assert out.shape == x.shape and x.grad.shape == x.shape
    for parameter in module.parameters():
        assert not parameter.grad.any()
    assert all(torch.isfinite(buffer).all() for buffer in module.buffers())


@pytest.mark.parametrize('cfg', CELLS, ids=str)
def test_cell(cfg):
    cell = build_cell(cfg, 8)
    x = torch.zeros(0, 8, requires_grad=True)
    hidden, memory = cell(x, cell(x))
    assert hidden.shape == memory.shape == x.shape
    (hidden + memory).sum().backward()
    assert not any(parameter.grad.any() for parameter in cell.parameters())
