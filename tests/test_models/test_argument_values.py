"""Every documented value of every argument initializes, trains and evaluates."""

from itertools import product

import pytest
import torch

from mmdia.models import CIFARResNet, list_attentions

from ..helpers import INTERACTIONS, SLIM
from .test_attentions import SLIM as SLIM_ATTENTIONS

NORMS = (
    dict(type='BN'),
    dict(type='BN', affine=False),
    dict(type='GN', num_groups=2),
)
CELLS = (
    dict(type='mmdia.RNNCell'),
    dict(type='mmdia.LSTMCell'),
    dict(type='mmdia.LightCell'),
    dict(type='mmdia.LightCell', ratio=1),
    *(
        dict(type='mmdia.DIACell', activation=activation, ratio=ratio)
        for activation, ratio in product(('sigmoid', 'tanh', 'relu'), (4, None))
    ),
    *(
        dict(type='mmdia.DSUCell', fusion=fusion, input_activation=activation, ratio=ratio)
        for fusion, activation, ratio in product(
            ('separate', 'concat'), ('sigmoid', 'tanh', 'relu', 'identity'), (4, None)
        )
        if fusion == 'separate' or ratio
    ),
    *(
        dict(type='mmdia.DSUCell', fusion=fusion, initial_memory='random', ratio=4)
        for fusion in ('separate', 'concat')
    ),
)
# All values that are documented, but for numbers, of which there are a few.
ATTENTION_VALUES = {
    'mmdia.CBAM': dict(bias=(True, False), kernel_size=(1, 7), ratio=(1, 8)),
    'mmdia.ECA': dict(kernel_size=(None, 1, 9)),
    'mmdia.GC': dict(
        ratio=(1, 8),
        pooling_type=('att', 'avg'),
        fusion_types=(('channel_add',), ('channel_mul',), ('channel_add', 'channel_mul')),
    ),
    'mmdia.NonLocal': dict(
        ratio=(2, 8),
        mode=('embedded_gaussian', 'gaussian', 'dot_product', 'concatenation'),
        use_scale=(True, False),
        sub_sample=(True, False),
    ),
    'mmdia.SE': dict(bias=(True, False), ratio=(1, 8)),
    'mmdia.SEM': dict(bias=(True, False), ratio=(1, 8)),
    'mmdia.SGE': dict(groups=(1, 8)),
    'mmdia.SPA': dict(bias=(True, False), grids=((1,), (3, 2, 5)), ratio=(1, 8)),
    'mmdia.SPEM': {},
    'mmdia.SRM': dict(norm_cfg=NORMS),
}
ATTENTIONS = [dict(type=name, **SLIM_ATTENTIONS.get(name, {})) for name in list_attentions()]
VALUES = {
    'mmdia.BlockAttention': [dict(attention=ATTENTIONS)],
    'mmdia.DIALSTM': [
        dict(activation=('sigmoid', 'tanh', 'relu'), num_cells=(1, 3)),
        dict(extra_norm=(True, False)),
    ],
    'mmdia.DIALSTMLight': [dict(ratio=(1, 8), extra_norm=(True, False))],
    'mmdia.DLABase': [
        dict(cell=(None, *CELLS)),
        dict(head_channels=(1, 8)),
        dict(gate=('hidden', 'memory'), renewed=('projections', 'features')),
    ],
    'mmdia.DLALight': [
        dict(cell=(None, *CELLS)),
        dict(
            excite=(True, False),
            gate=('hidden', 'memory'),
            previous=('shortcut', 'attention'),
            weighting=('sigmoid', 'softmax'),
        ),
    ],
    'mmdia.LII': [dict(cell=CELLS), dict(extra_norm=(True, False))],
    'mmdia.LayerAggregation': [dict(append_state=(True, False), state_channels=(1, 8))],
    'mmdia.LayerInteraction': [],
    'mmdia.MRLABase': [dict(attention_drop_path_rate=(0.0, 0.5), head_channels=(1, 8))],
    'mmdia.MRLALight': [
        dict(attention_drop_path_rate=(0.0, 0.5), head_channels=(1, 8)),
        dict(previous=('shortcut', 'attention'), weighting=('sigmoid', 'softmax')),
    ],
    'mmdia.RLA': [
        dict(
            gate=('scalar', 'vector'),
            context=('gap', 'gmp', 'gap+mlp', 'gmp+mlp'),
            position=('branch', 'sum'),
        ),
        dict(upsample=('nearest', 'linear'), context_channels=(None, 24)),
        dict(attention=(None, dict(type='mmdia.SE', ratio=2)), position=('branch', 'sum')),
    ],
    'mmdia.SharedAttention': [dict(attention=ATTENTIONS, share_norms=(False, True))],
}


def variants(*values):
    """All combinations of the values of a few arguments, and of a few others."""
    return [dict(zip(some, chosen)) for some in values for chosen in product(*some.values())]


def assert_works(interaction):
    model = CIFARResNet(
        14, block='basic', base_channels=8, interaction=interaction, out_indices=(0, 1, 2)
    )
    model.init_weights()
    levels = model.train()(torch.randn(2, 3, 8, 8))
    sum(level.square().mean() for level in levels).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
    with torch.no_grad():
        torch.optim.SGD(model.parameters(), lr=0.01).step()
        assert all(torch.isfinite(level).all() for level in model.eval()(torch.randn(1, 3, 9, 8)))


def test_all_are_tested():
    assert set(VALUES) == set(INTERACTIONS)
    assert set(ATTENTION_VALUES) == set(list_attentions())


@pytest.mark.parametrize('interaction', INTERACTIONS)
def test_values_of_interactions(interaction):
    for args in variants(*VALUES[interaction]):
        assert_works(dict(type=interaction) | SLIM.get(interaction, {}) | args)


@pytest.mark.parametrize('name', list_attentions())
def test_values_of_attentions(name):
    for args in variants(ATTENTION_VALUES[name]):
        attention = dict(type=name) | SLIM_ATTENTIONS.get(name, {}) | args
        assert_works(dict(type='mmdia.SharedAttention', attention=attention))
