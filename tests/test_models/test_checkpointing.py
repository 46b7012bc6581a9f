"""Checkpointing, however often the branches are computed again; every method's is in the sweep."""

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from ..helpers import needs_compiler, randomize, slim_resnet
from .test_trunks import TRUNKS, build


def pair(trunk, interaction='mmdia.LayerAggregation', **kwargs):
    """A network, and the same with checkpoints, in training."""
    plain = build(trunk, interaction, **kwargs).double().train()
    saving = build(trunk, interaction, with_cp=True, **kwargs).double().train()
    saving.load_state_dict(plain.state_dict())
    return plain, saving


def images():
    return torch.randn(2, 3, 33, 47, dtype=torch.float64)


def loss(model, x):
    return model(x)[0].square().mean()


def assert_same(pairs):
    for ours, expected in pairs:
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-11)


def assert_same_buffers(saving, plain):
    assert_same(zip(saving.buffers(), plain.buffers(), strict=True))
    tracked = [b for name, b in saving.named_buffers() if name.endswith('num_batches_tracked')]
    assert all(number == 1 for number in tracked)


@pytest.mark.parametrize('trunk', TRUNKS)
def test_two_backward_passes(trunk):
    plain, saving = pair(trunk)
    x = images()
    loss(plain, x).backward()
    expected = [p.grad for p in plain.parameters()]
    value = loss(saving, x)
    for retain in (True, False):
        gradients = torch.autograd.grad(value, list(saving.parameters()), retain_graph=retain)
        assert_same(zip(gradients, expected, strict=True))
    assert_same_buffers(saving, plain)


@pytest.mark.parametrize('trunk', ('bottleneck', 'preactivation'))
def test_partial_backward_pass(trunk):
    plain, saving = pair(trunk)
    x = images()
    values = loss(plain, x), loss(saving, x)
    for part in ('layer1', 'layer3', 'layer1'):
        expected, ours = (
            torch.autograd.grad(value, list(getattr(model, part).parameters()), retain_graph=True)
            for value, model in zip(values, (plain, saving))
        )
        assert_same(zip(ours, expected, strict=True))
    assert_same_buffers(saving, plain)


@pytest.mark.parametrize('trunk', ('bottleneck', 'wide'))
def test_second_derivatives(trunk):
    plain, saving = pair(trunk)
    x = images()
    results = []
    for model in (plain, saving):
        parameters = list(model.parameters())
        first = torch.autograd.grad(loss(model, x), parameters, create_graph=True)
        results.append(torch.autograd.grad(sum(g.square().sum() for g in first), parameters))
    assert_same(zip(*results, strict=True))
    assert_same_buffers(saving, plain)


@pytest.mark.parametrize('reentrant', (False, True))
def test_within_a_checkpoint(reentrant):
    plain, saving = pair('bottleneck')
    x = images().requires_grad_()
    expected = torch.autograd.grad(loss(plain, x), [x, *plain.parameters()])
    checkpoint(loss, saving, x, use_reentrant=reentrant).backward()
    assert_same(zip([x.grad, *(p.grad for p in saving.parameters())], expected, strict=True))


def test_statistics_of_instance_norms():
    norm_cfg = dict(type='IN', affine=True, track_running_stats=True)
    plain, saving = pair('bottleneck', norm_cfg=norm_cfg)
    x = images()
    for model in (plain, saving):
        loss(model, x).backward()
    assert_same(zip(saving.buffers(), plain.buffers(), strict=True))


@needs_compiler
def test_compiled_checkpointing_changes_nothing():
    torch.compiler.reset()
    plain = randomize(slim_resnet('mmdia.DIALSTM', num_stages=2)).double().train()
    saving = slim_resnet('mmdia.DIALSTM', num_stages=2, with_cp=True).double().train()
    saving.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)

    plain(x)[0].square().mean().backward()
    compiled = torch.compile(saving, fullgraph=True, backend='aot_eager')
    compiled(x)[0].square().mean().backward()

    for ours, expected in zip(saving.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, expected.grad, rtol=1e-10, atol=1e-12)
    for ours, expected in zip(saving.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=0)
