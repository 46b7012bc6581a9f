"""The arguments of an interaction in either form: the network's own, or a dict of theirs."""

import pytest

from mmdia.models import CIFARResNet, DIAResNet, DLAResNet, ResNet, RLAResNet

NAMED = {DIAResNet: 'mmdia.DIALSTM', DLAResNet: 'mmdia.DLALight', RLAResNet: 'mmdia.RLA'}
SLIM = {
    DIAResNet: dict(ratio=4),
    DLAResNet: dict(ratio=4, head_channels=8),
    RLAResNet: dict(ratio=1, gate='vector'),
}


def shapes(network):
    return {name: value.shape for name, value in network.state_dict().items()}


@pytest.mark.parametrize('cls', NAMED)
def test_both_forms_are_one_network(cls):
    args, kind = SLIM[cls], NAMED[cls]
    expected = shapes(ResNet(18, dict(type=kind, **args), base_channels=8))
    for given in (
        args,
        dict(interaction=args),
        dict(interaction=dict(type=kind, **args)),
        dict(interaction=dict(args, ratio=2), **args),
    ):
        assert shapes(cls(18, base_channels=8, **given)) == expected


@pytest.mark.parametrize('cls', NAMED)
def test_another_interaction_is_refused(cls):
    other = next(kind for kind in NAMED.values() if kind != NAMED[cls])
    message = f"mmdia.{cls.__name__} must be of type {NAMED[cls]}, got {{'type': '{other}'}}; write"
    with pytest.raises(ValueError, match=message):
        cls(18, interaction=dict(type=other))
    with pytest.raises(TypeError, match='interaction must be dict or None, got 4'):
        cls(18, interaction=4)


@pytest.mark.parametrize('cls', NAMED)
@pytest.mark.parametrize('network', (ResNet, CIFARResNet))
def test_arguments_of_the_interaction_alone(cls, network):
    depth = 18 if network is ResNet else 20
    name = next(iter(SLIM[cls]))
    message = f"no argument '{name}', but its interaction {NAMED[cls]} has: interaction=dict"
    with pytest.raises(TypeError, match=message):
        network(depth, interaction=dict(type=NAMED[cls]), **{name: SLIM[cls][name]})


def test_arguments_of_neither():
    for network, args in (
        (ResNet, dict(ratio=4)),
        (ResNet, dict(interaction=dict(type='mmdia.RLA'), rate=4)),
        (DIAResNet, dict(rate=4)),
    ):
        with pytest.raises(TypeError, match=rf"^{network.__name__} has no argument '\w+'$"):
            network(18, **args)
