"""Bad arguments are refused at construction, by name, with what is allowed."""

import numpy as np
import pytest
import torch
from torch import nn

from mmdia.apis import get_model, list_models
from mmdia.datasets import DigitsDataset, ShapesDataset
from mmdia.engine import CompileBackboneHook, InterruptionHook
from mmdia.models import (
    DIALSTM,
    Attention,
    DIAResNet,
    DLAResNet,
    PreResNet,
    ResidualBackbone,
    ResNet,
    RLAResNet,
)
from mmdia.registry import MODELS

from ..wrong_values import parameters, wrong_values

NAME = 'dia-resnet50_8xb32_in1k'


@pytest.mark.parametrize(
    ('cls', 'args', 'error', 'message'),
    (
        (ResNet, dict(depth=20), ValueError, r'depth must be one of \(18, 34, .*\), got 20'),
        (ResNet, dict(depth='r50'), ValueError, "depth must be one of .* got 'r50'"),
        (
            ResNet,
            dict(out_indices=(0, 4)),
            ValueError,
            r'out_indices must .* 0 ... 3, got \(0, 4\)',
        ),
        (ResNet, dict(out_indices=(-1,)), ValueError, r'out_indices must .*, got \(-1,\)'),
        (ResNet, dict(out_indices=()), ValueError, r'out_indices must .*, got \(\)'),
        (
            ResNet,
            dict(frozen_stages=5),
            ValueError,
            'frozen_stages must be an integer in -1 ... 4, got 5',
        ),
        (ResNet, dict(num_stages=5), ValueError, 'num_stages must be an integer in 1 ... 4, got 5'),
        (
            ResNet,
            dict(num_stages=0),
            ValueError,
            'num_stages must be an integer in 1 ... 4, got 0',
        ),
        (ResNet, dict(strides=(1, 2)), ValueError, r'strides must be 4 integers .*, got \(1, 2\)'),
        (ResNet, dict(dilations=(1,) * 5), ValueError, 'dilations must be 4 integers'),
        (
            ResNet,
            dict(dilations=(1, 1, 1, 0)),
            ValueError,
            r'dilations must be 4 integers .*, got \(1, 1, 1, 0\)',
        ),
        (ResNet, dict(base_channels=0), ValueError, 'base_channels must .*, got 0'),
        (ResNet, dict(stem_channels=1.5), TypeError, 'stem_channels must .*, got 1.5'),
        (
            ResNet,
            dict(style='tf'),
            ValueError,
            r"style must be one of \('pytorch', 'caffe'\), got 'tf'",
        ),
        (
            ResNet,
            dict(drop_path_rate=1),
            ValueError,
            r'drop_path_rate must be a number in \[0, 1\), got 1',
        ),
        (ResNet, dict(interaction=5), TypeError, 'interaction must be a dict .*DIALSTM.* got 5'),
        (ResNet, dict(interaction='mmdia.RLA'), TypeError, "must be a dict .* got 'mmdia.RLA'"),
        (ResNet, dict(interaction={}), ValueError, 'interaction must be a dict .*DIALSTM.* got {}'),
        (
            ResNet,
            dict(interaction=dict(type='mmdia.DIA')),
            ValueError,
            "interaction must .* type is one of .*mmdia.DIALSTM.* got {'type': 'mmdia.DIA'}",
        ),
        (
            ResNet,
            dict(interaction=dict(type='mmdia.DIACell')),
            TypeError,
            "interaction must .* got {'type': 'mmdia.DIACell'}",
        ),
        (
            ResNet,
            dict(interaction=dict(type=nn.ReLU)),
            TypeError,
            'interaction must .* got .*ReLU',
        ),
        (DIAResNet, dict(ratio=0), ValueError, 'ratio must be an integer in 1 ... 65536, got 0'),
        (DIAResNet, dict(ratio=-4), ValueError, 'ratio must be an integer in 1 ... 65536, got -4'),
        (DIAResNet, dict(ratio=2.5), TypeError, 'ratio must be an integer in 1 ... 65536, got 2.5'),
        (DIAResNet, dict(ratio=65), ValueError, 'ratio must be at most .* 64, got 65'),
        (DIAResNet, dict(activation='gelu'), ValueError, "activation must .* got 'gelu'"),
        (DIAResNet, dict(num_cells=0), ValueError, 'num_cells must .*, got 0'),
        (DIAResNet, dict(stages=(True, False)), ValueError, 'stages must be 4 truth values'),
        (
            DIAResNet,
            dict(activation='tanh', identity_init=True),
            ValueError,
            'identity_init=True needs a gate that is not zero',
        ),
        (
            DIAResNet,
            dict(extra_norm=True, identity_init=True),
            ValueError,
            'identity_init=True needs extra_norm=False, got True',
        ),
        (
            ResNet,
            dict(interaction=dict(type='mmdia.RLA', stages=(True,) * 4)),
            ValueError,
            'stages must not be given for mmdia.RLA, which all stages share',
        ),
        (DIAResNet, dict(stages=(0, 1, 2, 3)), TypeError, 'stages must be 4 truth values'),
        (DLAResNet, dict(attention_drop_path_rate=1.0), ValueError, r'in \[0, 1\), got 1.0'),
        (
            DLAResNet,
            dict(cell=dict(type='mmdia.DSUCell', ratio=4, hidden_channels=4)),
            ValueError,
            'hidden_channels of the cell must be the number of channels, 64, got 4',
        ),
        (DLAResNet, dict(cell='mmdia.RNNCell'), TypeError, 'cell must be a dict'),
        (
            DLAResNet,
            dict(cell=dict(type='mmdia.GRUCell')),
            ValueError,
            'cell must .*mmdia.DSUCell.* got .*GRUCell',
        ),
        (
            DLAResNet,
            dict(cell=dict(type='mmdia.RLA')),
            TypeError,
            'cell must .*mmdia.DSUCell.* got .*RLA',
        ),
        (
            DLAResNet,
            dict(cell=dict(type='mmdia.DSUCell', fusion='sum')),
            ValueError,
            "fusion must be one of .*'concat'.*, got 'sum'",
        ),
        (
            ResNet,
            dict(interaction=dict(type='mmdia.DIALSTMLight', ratio=3)),
            ValueError,
            'ratio must divide the number of channels, 64, got 3',
        ),
        (DLAResNet, dict(ratio=65), ValueError, 'ratio must be at most .* 64, got 65'),
        (DLAResNet, dict(head_channels=48), ValueError, 'head_channels must .* 64, got 48'),
        (DLAResNet, dict(head_channels=0), ValueError, 'head_channels must .*, got 0'),
        (DLAResNet, dict(base_channels=16), ValueError, 'head_channels must .* 16, got 32'),
        (RLAResNet, dict(ratio=129), ValueError, 'ratio must be at most .* 128, got 129'),
        (RLAResNet, dict(gate='matrix'), ValueError, 'gate must be one of .*'),
        (RLAResNet, dict(context='mean'), ValueError, "context must be one of .* got 'mean'"),
        (RLAResNet, dict(context_channels=0), ValueError, 'context_channels must .*, got 0'),
        (RLAResNet, dict(hidden_channels=-1), ValueError, 'hidden_channels must .*, got -1'),
    ),
)
def test_argument_is_refused(cls, args, error, message):
    with pytest.raises(error, match=message):
        cls(**{'depth': 18, **args})


def test_message_survives_the_registry():
    with pytest.raises(ValueError, match=r'ratio must be at most .* 64, got 65'):
        MODELS.build(dict(type='mmdia.DIAResNet', depth=18, ratio=65))


def test_class_as_type():
    model = ResNet(18, dict(type=DIALSTM, ratio=8))
    assert all(isinstance(i, DIALSTM) for i in model.interactions())


# Arguments with which everything that is registered can be built.
VALID = {
    'CIFARResNet': dict(depth=11, base_channels=8),
    'PreResNet': dict(depth=11, base_channels=8),
    'WideResNet': dict(depth=10, widen_factor=1),
    'ResNet': dict(depth=18, base_channels=8),
    'DIAResNet': dict(depth=18, base_channels=8, ratio=2),
    'DLAResNet': dict(depth=18, base_channels=8, ratio=2, head_channels=8),
    'RLAResNet': dict(depth=18, base_channels=8),
    'ResNetV1c': dict(depth=18, base_channels=8),
    'ResNetV1d': dict(depth=18, base_channels=8),
    'ResNet_CIFAR': dict(depth=18, base_channels=8),
    'ResNeXt': dict(depth=50, base_channels=8, groups=2),
    'SEResNet': dict(depth=50, base_channels=8),
    'SEResNeXt': dict(depth=50, base_channels=8, groups=2),
    'RLA': dict(channels=(32, 64), num_blocks=(1, 2)),
    'LayerAggregation': dict(channels=(32, 64), num_blocks=(1, 2)),
    'SGE': dict(in_channels=64),
}


def valid_arguments(name):
    """Arguments with which a class can be built."""
    sizes = dict(in_channels=32, channels=32, num_blocks=2)
    needed = {key: sizes[key] for key in parameters(MODELS.get(name)) if key in sizes}
    return VALID.get(name, needed)


@pytest.mark.parametrize('name', sorted(MODELS.module_dict))
def test_every_wrong_value_is_refused_by_name(name):
    cls = MODELS.get(name)
    args = valid_arguments(name)
    cls(**args)
    accepted, unclear = [], []
    for parameter in parameters(cls).values():
        for value in wrong_values(parameter):
            try:
                cls(**{**args, parameter.name: value})
            except (TypeError, ValueError) as error:
                message = str(error)
                clear = parameter.name in message and (
                    repr(value) in message or 'multiple values' in message
                )
            except Exception as error:
                message, clear = repr(error), False
            else:
                accepted.append((parameter.name, value))
                continue
            if not clear:
                unclear.append((parameter.name, value, message))
    assert not accepted
    assert not unclear
    with pytest.raises(TypeError, match='no_such_argument'):
        cls(**args, no_such_argument=1)


@pytest.mark.parametrize('trunk', ('ResNet', 'PreResNet', 'deep stem'))
@pytest.mark.parametrize(
    ('name', 'cfg'),
    (
        ('norm_cfg', dict(type='LN')),  # of the last dimension
        ('norm_cfg', dict(type='BN1d')),
        ('norm_cfg', dict(type='BN3d')),
        ('norm_cfg', dict(type='ReLU')),
        ('norm_cfg', dict(type='Conv2d')),
        ('norm_cfg', dict(type='GN')),
        ('norm_cfg', dict(type='GN', num_groups=3)),
        ('norm_cfg', dict(type='GN', num_groups='2')),
        ('norm_cfg', dict(type='BN', eps='small')),
        ('norm_cfg', dict(type='BN', eps=float('nan'))),
        ('norm_cfg', dict(type='BN', requires_grad='yes')),
        ('norm_cfg', dict(type='BN', num_features=8)),
        ('norm_cfg', dict(type='BN', no_such_argument=1)),
        ('act_cfg', dict(type='BN')),
        ('act_cfg', dict(type='Conv2d')),
        ('act_cfg', dict(type='PReLU', num_parameters=3)),
        ('act_cfg', dict(type='LeakyReLU', negative_slope='small')),
        ('act_cfg', dict(type='ReLU', no_such_argument=1)),
        ('conv_cfg', dict(type='Conv1d')),
        ('conv_cfg', dict(type='Conv3d')),
        ('conv_cfg', dict(type='deconv')),
        ('conv_cfg', dict(type='ReLU')),
        ('conv_cfg', dict(type='BN')),
        ('conv_cfg', dict(type='Conv2d', bias=True)),
        ('conv_cfg', dict(type='Conv2d', padding_mode='no such mode')),
        ('conv_cfg', dict(type='Conv2d', no_such_argument=1)),
    ),
)
def test_config_of_layers_is_refused(trunk, name, cfg):
    cls, args = {
        'ResNet': (ResNet, VALID['ResNet']),
        'PreResNet': (PreResNet, VALID['PreResNet']),
        'deep stem': (ResNet, VALID['ResNet'] | dict(deep_stem=True)),
    }[trunk]
    with pytest.raises(ValueError) as error:
        cls(**args, **{name: cfg})
    assert name in str(error.value) and repr(cfg) in str(error.value)


@pytest.mark.parametrize(
    'init_cfg',
    (
        dict(type='Constant'),
        dict(type='Kaiming', no_such_argument=1),
        dict(type='Pretrained'),
        [dict(type='Kaiming'), dict(type='Constant')],
    ),
)
def test_config_of_initializers_is_refused(init_cfg):
    with pytest.raises(ValueError, match=r'init_cfg must be .* got .*argument'):
        ResNet(18, base_channels=8, init_cfg=init_cfg)


def as_numpy(value):
    """A value with NumPy's integers, truth values and numbers for Python's."""
    if isinstance(value, bool):
        return np.bool_(value)
    if isinstance(value, int):
        return np.int64(value)
    if isinstance(value, float):
        return np.float32(value)
    if isinstance(value, tuple):
        return np.array(value) if value and not isinstance(value[0], str) else value
    return value


@pytest.mark.parametrize('name', sorted(MODELS.module_dict))
def test_numbers_of_numpy_are_as_good(name):
    cls = MODELS.get(name)
    defaults = {
        key: parameter.default
        for key, parameter in parameters(cls).items()
        if parameter.default is not parameter.empty
    }
    args = defaults | valid_arguments(name)
    args = {key: value for key, value in args.items() if value is not None}
    if name == 'WideResNet':
        del args['base_channels']  # which is that of the widening
    expected = cls(**args)
    model = cls(**{key: as_numpy(value) for key, value in args.items()})
    shapes = [tuple(value.shape) for value in expected.state_dict().values()]
    assert [tuple(value.shape) for value in model.state_dict().values()] == shapes
    if isinstance(model, ResidualBackbone):
        assert (
            model(torch.rand(1, 3, 33, 65))[0].shape == expected(torch.rand(1, 3, 33, 65))[0].shape
        )
    if isinstance(model, Attention):
        assert model(torch.rand(2, args['in_channels'], 5, 5)).shape[2:] == (5, 5)


@pytest.mark.parametrize(
    ('function', 'args', 'error', 'message'),
    (
        (list_models, dict(pattern=5), TypeError, 'pattern must be .*, got 5'),
        (get_model, dict(model=5), TypeError, 'model must be .*, got 5'),
        (get_model, dict(model=None), TypeError, 'model must be .*, got None'),
        (get_model, dict(model='no-such-model'), ValueError, "no model 'no-such-model'"),
        (get_model, dict(model=NAME, pretrained=5), TypeError, 'pretrained must be .*, got 5'),
        (get_model, dict(model=NAME, device='gpu'), ValueError, "device must be .*, got 'gpu'"),
        (get_model, dict(model=NAME, device=[]), ValueError, r'device must be .*, got \[\]'),
        (CompileBackboneHook, dict(modes='default'), TypeError, 'modes'),
        (CompileBackboneHook, dict(mode='fast'), ValueError, 'mode.*fast'),
        (CompileBackboneHook, dict(backend='none'), ValueError, 'backend.*none'),
        (InterruptionHook, dict(signal=15), TypeError, 'signal'),
        (DigitsDataset, dict(split='dev'), ValueError, "split must be .*, got 'dev'"),
        (ShapesDataset, dict(data_root=5), TypeError, 'data_root must be .*, got 5'),
    ),
)
def test_argument_of_functions_hooks_and_datasets_is_refused(function, args, error, message):
    with pytest.raises(error, match=message):
        function(**args)
