"""Every method computes what its paper's formulas say."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from mmdia.models import LSTMCell, ResNet

from ..helpers import DEPTHS, INTERACTIONS, randomize
from ..restatements import RESTATEMENTS


class Blocks:
    """The blocks of a network as functions from an array to its two halves."""

    def __init__(self, model, images):
        self.model = model
        stem = model.maxpool(model.act(model.norm1(model.conv1(images))))
        self.start = stem.numpy()

    def __iter__(self):
        for stage in range(1, 5):
            for index, block in enumerate(getattr(self.model, f'layer{stage}').blocks()):
                yield Block(block, f'layer{stage}', index)


class Block(SimpleNamespace):
    def __init__(self, block, stage, index):
        super().__init__(block=block, stage=stage, index=index, starts_stage=index == 0)

    def __call__(self, x):
        x = torch.from_numpy(x)
        return self.block.branch(x).numpy(), self.block.shortcut(x).numpy()


@pytest.mark.parametrize('batch_size', (1, 4))
@pytest.mark.parametrize('depth', DEPTHS)
@pytest.mark.parametrize('interaction', INTERACTIONS)
@torch.no_grad()
def test_forward_equals_restatement(interaction, depth, batch_size):
    # 32 and more channels a stage: the default heads of 32 channels fit.
    model = randomize(ResNet(depth, dict(type=interaction), base_channels=32)).double().eval()
    images = torch.randn(batch_size, 3, 65, 97, dtype=torch.float64)

    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    expected = RESTATEMENTS[interaction](weights, Blocks(model, images))

    (output,) = model(images)
    np.testing.assert_allclose(output.numpy(), expected, rtol=1e-10, atol=1e-10)


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
