"""With any norm, methods start as the plain network when asked to, or say that they cannot."""

import pytest
import torch

from mmdia.models import SharedAttention, list_attentions

from ..helpers import INTERACTIONS, slim_resnet
from .test_attentions import SLIM as SLIM_ATTENTIONS

NORMS = {
    'BN': dict(type='BN'),
    'BN without weights': dict(type='BN', affine=False),
    'BN without statistics': dict(type='BN', track_running_stats=False),
    'SyncBN': dict(type='SyncBN'),
    'GN': dict(type='GN', num_groups=2),
    'GN without weights': dict(type='GN', num_groups=2, affine=False),
    'IN': dict(type='IN'),
    'IN with weights': dict(type='IN', affine=True),
}
WITHOUT_WEIGHTS = ('BN without weights', 'GN without weights', 'IN')

each_norm = pytest.mark.parametrize('norm', NORMS)


def refused(function):
    """Whether a function raises an error about ``norm_cfg``."""
    try:
        function()
    except ValueError as error:
        assert 'norm_cfg' in str(error)
        return True
    return False


@each_norm
@pytest.mark.parametrize('interaction', INTERACTIONS)
def test_identity_init(norm, interaction):
    args = dict(norm_cfg=NORMS[norm], num_stages=2, out_indices=(0, 1), small_stem=True)
    if interaction in ('mmdia.MRLALight', 'mmdia.DLALight') and norm in WITHOUT_WEIGHTS:
        assert refused(lambda: slim_resnet(interaction, 18, dict(identity_init=True), **args))
        return
    plain = slim_resnet('mmdia.LayerInteraction', **args)
    model = slim_resnet(interaction, 18, dict(identity_init=True), **args)
    model.load_state_dict(plain.state_dict(), strict=False)
    x = torch.randn(2, 3, 17, 23)
    for training in (True, False):
        levels, expected = model.train(training)(x), plain.train(training)(x)
        torch.testing.assert_close(levels, expected)


@each_norm
@pytest.mark.parametrize('name', list_attentions())
def test_identity_init_of_attentions(norm, name):
    def build():
        attention = dict(type=name, **SLIM_ATTENTIONS.get(name, {}))
        interaction = SharedAttention(
            8, 2, attention=attention, norm_cfg=NORMS[norm], identity_init=True
        )
        interaction.init_weights()
        return interaction

    if name == 'mmdia.SRM' and norm in (*WITHOUT_WEIGHTS, 'IN with weights'):
        assert refused(build)
        return
    interaction = build()
    branch, identity = torch.randn(2, 4, 8, 5, 7)
    for training in (True, False):
        out, _ = interaction.train(training)(branch, identity, None, 1)
        torch.testing.assert_close(out, torch.relu(identity + branch))
