"""Operators that an interaction adds to a block: a guard of speed that needs no clock."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ..helpers import slim_resnet

# The most operators: forward without gradients; forward and backward, of which backward is that of
# the three blocks. Whoever needs fewer lowers the number, whoever needs more has a reason. A new
# method needs no entry.
BUDGET = {
    'mmdia.BlockAttention': (12, 50),
    'mmdia.DIALSTM': (26, 310),
    'mmdia.DIALSTMLight': (27, 334),
    'mmdia.DLABase': (87, 663),
    'mmdia.DLALight': (70, 593),
    'mmdia.LII': (24, 295),
    'mmdia.LayerAggregation': (8, 79),
    'mmdia.LayerInteraction': (0, 0),
    'mmdia.MRLABase': (36, 241),
    'mmdia.MRLALight': (28, 98),
    'mmdia.RLA': (30, 304),
    'mmdia.SharedAttention': (12, 50),
}


class Counter(TorchDispatchMode):
    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 1
        return func(*args, **(kwargs or {}))


def operators(interaction, training):
    """Operators of the third block of a stage: with layer attention they grow by the block."""
    model = slim_resnet(interaction, depth=50).train(training)
    stage = model.layer2
    shared = stage.interaction or model.interaction

    def run(x, state, index):
        index += stage.first_index
        branch, identity = stage[index - stage.first_index](x, shared.feed(state, index))
        return shared(branch, identity, state, index)

    with torch.set_grad_enabled(training):
        out, state = run(torch.randn(2, 8 * 4, 12, 12), None, 0)
        out, state = run(out, state, 1)
        out = out.detach().requires_grad_(training)
        with Counter() as counter:
            out, state = run(out, state, 2)
            if training:
                out.sum().backward()
    return counter.count


@pytest.mark.parametrize('interaction', BUDGET)
def test_operators_of_a_block(interaction):
    added = tuple(
        operators(interaction, training) - operators('mmdia.LayerInteraction', training)
        for training in (False, True)
    )
    assert all(count <= most for count, most in zip(added, BUDGET[interaction])), added
