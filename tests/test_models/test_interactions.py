"""Interactions by themselves: derivatives, and stages of any length."""

import pytest
import torch

from mmdia.models import BasicBlock, build_interaction, interaction_class

from ..helpers import INTERACTIONS, SLIM, randomize


def build(interaction, num_blocks, channels=8):
    cfg = dict(type=interaction, **SLIM.get(interaction, {}))
    blocks = [BasicBlock(channels, channels) for _ in range(num_blocks)]
    if interaction_class(cfg).scope == 'network':
        channels, num_blocks = (channels,), (num_blocks,)
    return randomize(build_interaction(cfg, channels, num_blocks, blocks))


def run(module, branches, x):
    """Join branches one after another, as a stage does."""
    state = None
    for i, branch in enumerate(branches):
        x, state = module(branch, x, state, i)
    return x


@pytest.mark.parametrize('interaction', INTERACTIONS)
def test_gradients_are_right(interaction):
    # A smooth activation: differences across the kink of ReLU are none.
    module = build(interaction, 2).double().eval()
    module.act = torch.nn.Softplus()
    branches = torch.randn(2, 2, 8, 3, 2, dtype=torch.float64, requires_grad=True)
    x = torch.randn(2, 8, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *args: run(module, *args), (branches, x))


@torch.no_grad()
@pytest.mark.parametrize('num_blocks', (1, 54))
@pytest.mark.parametrize('interaction', INTERACTIONS)
def test_stages_of_any_length(interaction, num_blocks):
    module = build(interaction, num_blocks).eval()
    branches = 0.1 * torch.randn(num_blocks, 2, 8, 5, 3)
    x = run(module, branches, torch.randn(2, 8, 5, 3))
    assert x.shape == (2, 8, 5, 3) and torch.isfinite(x).all()


@pytest.mark.parametrize('interaction', ('mmdia.MRLABase', 'mmdia.DLABase'))
def test_memory_of_full_attention_grows_linearly(interaction):
    def saved_bytes(num_blocks):
        sizes = {}

        def pack(tensor):
            storage = tensor.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
            return tensor

        module = build(interaction, num_blocks).train()
        branches = torch.randn(num_blocks, 2, 8, 32, 32)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            out = run(module, branches.unbind(), torch.randn(2, 8, 32, 32))
        out.sum().backward()
        return sum(sizes.values())

    few, many = saved_bytes(6), saved_bytes(24)
    assert many < 4.4 * few
