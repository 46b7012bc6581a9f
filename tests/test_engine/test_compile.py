"""Compiled backbones are one graph, and train what others do."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MMLogger
from torch import nn

from mmdia.engine import CompileBackboneHook
from mmdia.registry import HOOKS
from mmdia.testing import check_compiling

from ..helpers import INTERACTIONS, needs_compiler, randomize, slim_resnet, small_networks

MAIN = ('mmdia.DIALSTM', 'mmdia.DLALight', 'mmdia.RLA', 'mmdia.MRLABase')
LEVELS = dict(num_stages=2, out_indices=(0, 1))


class Classifier(nn.Module):
    def __init__(self, interaction):
        super().__init__()
        self.backbone = randomize(slim_resnet(interaction, **LEVELS))


@pytest.fixture
def compile_backbone():
    """Runs the hook as a runner does; returns the graphs."""
    torch.compiler.reset()
    graphs = []

    def backend(graph, example_inputs):
        graphs.append(graph)
        return graph.forward

    def run_hook(model):
        cfg = dict(type='mmdia.CompileBackboneHook', backend=backend, fullgraph=True)
        runner = SimpleNamespace(model=model, logger=MMLogger.get_instance('test'))
        HOOKS.build(cfg).before_train(runner)
        return graphs

    return run_hook


def train(model, sizes):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    for step, size in enumerate(sizes):
        x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        sum(level.square().mean() for level in model.backbone(x)).backward()
        optimizer.step()


# Blocks of both depths call interactions alike; one is within the blocks, too.
@needs_compiler
@pytest.mark.parametrize(
    ('interaction', 'depth'), [*((i, 18) for i in INTERACTIONS), ('mmdia.LayerAggregation', 50)]
)
def test_every_method(interaction, depth):
    check_compiling(small_networks(interaction, depth))


@needs_compiler
@pytest.mark.parametrize('interaction', MAIN)
def test_trains_what_others_do(interaction, compile_backbone):
    plain, compiled = Classifier(interaction).train(), Classifier(interaction).train()
    compiled.load_state_dict(plain.state_dict())
    graphs = compile_backbone(compiled)
    sizes = [(64, 64), (64, 64)]
    train(plain, sizes)
    train(compiled, sizes)
    assert len(graphs) == 1
    state, expected = compiled.state_dict(), plain.state_dict()
    assert state.keys() == expected.keys()
    for name in state:
        torch.testing.assert_close(state[name], expected[name])


@needs_compiler
@torch.no_grad()
def test_sizes_share_graphs(compile_backbone):
    model = Classifier('mmdia.DIALSTM').eval()
    graphs = compile_backbone(model)
    for height in (64, 96, 128, 160, 192):
        for width in (64, 96, 128, 160, 192):
            model.backbone(torch.randn(1, 3, height, width))
    assert len(graphs) <= 4


@needs_compiler
def test_wrapped_model(compile_backbone):
    model = Classifier('mmdia.DIALSTM')
    # The wrapper of distributed runs needs processes; this one does not.
    graphs = compile_backbone(nn.DataParallel(model))
    device = next(model.parameters()).device  # a GPU, if there is one
    model.backbone(torch.randn(2, 3, 64, 64, device=device))
    assert len(graphs) == 1


@needs_compiler
def test_model_without_backbone():
    with pytest.raises(ValueError, match='needs a model with a backbone, got Linear'):
        CompileBackboneHook().before_train(SimpleNamespace(model=nn.Linear(1, 1)))


def test_old_pytorch(monkeypatch):
    monkeypatch.setattr('mmdia.engine.hooks.compile.CAN_COMPILE', False)
    with pytest.raises(RuntimeError, match=r'needs PyTorch 2\.4 or later, this is \d'):
        CompileBackboneHook()
