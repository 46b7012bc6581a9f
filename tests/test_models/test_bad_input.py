"""Bad arguments are refused at construction, by name, with what is allowed."""

import pytest
import torch
from torch import nn

from mmdia.models import DIALSTM, DIAResNet, DLAResNet, ResNet, RLAResNet
from mmdia.registry import MODELS


@pytest.mark.parametrize(
    ('cls', 'args', 'error', 'message'),
    (
        (ResNet, dict(depth=20), ValueError, r'depth must be one of \[18, 34, .*\], got 20'),
        (ResNet, dict(depth='r50'), ValueError, "depth must be one of .* got 'r50'"),
        (
            ResNet,
            dict(out_indices=(0, 4)),
            ValueError,
            r'out_indices must .* 0 ... 3, got \(0, 4\)',
        ),
        (ResNet, dict(out_indices=(-1,)), ValueError, r'out_indices must .*, got \(-1,\)'),
        (ResNet, dict(out_indices=()), ValueError, r'out_indices must .*, got \(\)'),
        (ResNet, dict(frozen_stages=5), ValueError, 'frozen_stages must be in -1 ... 4, got 5'),
        (ResNet, dict(num_stages=5), ValueError, 'num_stages must be in 1 ... 4, got 5'),
        (
            ResNet,
            dict(num_stages=0),
            ValueError,
            'num_stages must be an integer of at least 1, got 0',
        ),
        (ResNet, dict(strides=(1, 2)), ValueError, r'strides must .* 4 stages, got \(1, 2\)'),
        (ResNet, dict(dilations=(1, 1, 1, 0)), ValueError, 'entry of dilations must .*, got 0'),
        (ResNet, dict(base_channels=0), ValueError, 'base_channels must .*, got 0'),
        (ResNet, dict(stem_channels=1.5), TypeError, 'stem_channels must .*, got 1.5'),
        (ResNet, dict(style='tf'), ValueError, "style must be 'pytorch' or 'caffe', got 'tf'"),
        (ResNet, dict(drop_path_rate=1), ValueError, r'drop_path_rate must be in \[0, 1\), got 1'),
        (ResNet, dict(interaction=5), TypeError, 'interaction must be a dict .* got 5; .*DIALSTM'),
        (ResNet, dict(interaction='mmdia.RLA'), TypeError, "must be a dict .* got 'mmdia.RLA'"),
        (ResNet, dict(interaction={}), ValueError, 'interaction needs a type, got {}'),
        (
            ResNet,
            dict(interaction=dict(type='mmdia.DIA')),
            ValueError,
            "interaction type 'mmdia.DIA' is not registered; registered are .*mmdia.DIALSTM",
        ),
        (
            ResNet,
            dict(interaction=dict(type='mmdia.DIACell')),
            TypeError,
            "'mmdia.DIACell' is not a subclass of LayerInteraction",
        ),
        (
            ResNet,
            dict(interaction=dict(type=nn.ReLU)),
            TypeError,
            'is not a subclass of LayerInteraction',
        ),
        (DIAResNet, dict(ratio=0), ValueError, 'ratio must be an integer of at least 1, got 0'),
        (DIAResNet, dict(ratio=-4), ValueError, 'ratio must be an integer of at least 1, got -4'),
        (DIAResNet, dict(ratio=2.5), TypeError, 'ratio must be an integer of at least 1, got 2.5'),
        (DIAResNet, dict(ratio=65), ValueError, 'ratio must be at most .* 64, got 65'),
        (DIAResNet, dict(activation='gelu'), ValueError, "activation must .* got 'gelu'"),
        (DIAResNet, dict(num_cells=0), ValueError, 'num_cells must .* at least 1, got 0'),
        (DIAResNet, dict(stages=(True, False)), ValueError, 'stages must be 4 truth values'),
        (
            DIAResNet,
            dict(activation='tanh', identity_init=True),
            ValueError,
            'identity_init=True needs a cell .* rests at 0.0',
        ),
        (
            DIAResNet,
            dict(extra_norm=True, identity_init=True),
            ValueError,
            'identity_init=True needs .* no extra_norm',
        ),
        (
            ResNet,
            dict(interaction=dict(type='mmdia.RLA', stages=(True,) * 4)),
            ValueError,
            'stages must not be given for mmdia.RLA, which all stages share',
        ),
        (DIAResNet, dict(stages=(0, 1, 2, 3)), ValueError, 'stages must be 4 truth values'),
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
            'registered are .*mmdia.DSUCell',
        ),
        (
            DLAResNet,
            dict(cell=dict(type='mmdia.RLA')),
            TypeError,
            'is not a subclass of RecurrentCell',
        ),
        (
            DLAResNet,
            dict(cell=dict(type='mmdia.DSUCell', fusion='sum')),
            ValueError,
            "fusion must be 'separate' or 'concat', got 'sum'",
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


@pytest.mark.parametrize(('small_stem', 'stride'), ((False, 32), (True, 8)))
def test_image_smaller_than_the_stride(small_stem, stride):
    model = ResNet(18, base_channels=8, small_stem=small_stem).eval()
    model(torch.zeros(1, 3, stride, stride))
    with pytest.raises(
        ValueError, match=rf'at least as large as the stride .*{stride}.*\({stride}, '
    ):
        model(torch.zeros(1, 3, stride, stride - 1))
