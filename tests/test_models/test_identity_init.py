"""With a plain trunk's weights, every method starts as the plain network."""

import pytest
import torch

from mmdia.models import ResNet

from ..helpers import INTERACTIONS, randomize, slim_resnet

ALL_LEVELS = dict(out_indices=(0, 1, 2, 3))


@pytest.mark.parametrize('interaction', INTERACTIONS)
@pytest.mark.parametrize('depth', (34, 101))  # others: test_behaviour.py
@torch.no_grad()
def test_network_is_bit_identical_to_the_plain_one(interaction, depth):
    plain = randomize(slim_resnet('mmdia.LayerInteraction', depth, **ALL_LEVELS)).eval()
    model = slim_resnet(interaction, depth, dict(identity_init=True), **ALL_LEVELS).eval()
    missing, unexpected = model.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected and all('interaction' in name.split('.') for name in missing)
    x = torch.randn(2, 3, 65, 97)
    for level, expected in zip(model(x), plain(x), strict=True):
        assert torch.equal(level, expected)


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
