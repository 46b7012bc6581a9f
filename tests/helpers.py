"""Small models for tests, and parameters of large ones."""

import gc
import runpy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmdia.apis import list_interactions
from mmdia.models import ResNet
from mmdia.models.utils.eager import CAN_COMPILE
from mmdia.testing import SmallNetworks, randomize  # noqa: F401

needs_compiler = pytest.mark.skipif(not CAN_COMPILE, reason='needs torch.compile of PyTorch 2.4')

INTERACTIONS = list_interactions()
DEPTHS = (18, 50)
# Arguments with which a method fits stages of 8 channels.
SLIM = {
    'mmdia.BlockAttention': dict(attention=dict(type='mmdia.SE', ratio=2)),
    'mmdia.DIALSTM': dict(ratio=4),
    'mmdia.LII': dict(cell=dict(type='mmdia.DSUCell', ratio=2)),
    'mmdia.DLABase': dict(ratio=4, head_channels=8),
    'mmdia.DLALight': dict(ratio=4, head_channels=8),
    'mmdia.LayerAggregation': dict(state_channels=4),
    'mmdia.MRLABase': dict(head_channels=8),
    'mmdia.MRLALight': dict(head_channels=8),
    'mmdia.RLA': dict(ratio=1),
    'mmdia.SharedAttention': dict(attention=dict(type='mmdia.SE', ratio=2)),
}

# Parameters without effect: a softmax over one block.
UNUSED = dict.fromkeys(('mmdia.MRLABase', 'mmdia.DLABase'), ('attentions.0.query.weight',))


def small_networks(interaction, depth=18):
    """Builds networks of width 8 and up, for the checks of mmdia.testing."""
    cfg = dict(type=interaction, **SLIM.get(interaction, {}))
    return SmallNetworks(cfg, depth, unused=UNUSED.get(interaction, ()))


def can_learn(interaction, name):
    """Whether a parameter has an effect."""
    return not name.endswith(UNUSED.get(interaction, ()))


def slim_resnet(interaction, depth=18, interaction_args=(), **kwargs):
    """A network of width 8 and up, with all weights and statistics at random."""
    cfg = dict(type=interaction) | SLIM.get(interaction, {}) | dict(interaction_args)
    model = ResNet(depth, cfg, base_channels=8, **kwargs)
    model.init_weights()
    return model


def forget_living_objects():
    """Take them out of the garbage collector's sight, and so of that of ``living_maps``."""
    gc.collect()
    gc.freeze()


def living_maps():
    """The feature maps that have come to life since, and that Python knows."""
    tensors = (o for o in gc.get_objects() if type(o) is torch.Tensor)
    return [t for t in tensors if t.dim() == 4 and min(t.shape[2:]) > 4]


paper_params = runpy.run_path(
    str(Path(__file__).parents[1] / 'tools' / 'analysis_tools' / 'paper_params.py')
)
COUNTS = {}


def count_parameters(cfg, what=''):
    """Count the parameters of a config's model; see paper_params.py.

    Networks that differ in the number of classes alone are built once.
    """
    model = cfg.model.to_dict()
    classes = 0
    if cfg.default_scope == 'mmpretrain':
        head = model['head']
        classes = (head.pop('num_classes') - 2) * (head['in_channels'] + 1)
        cfg = Config(
            dict(model=dict(model, head=dict(head, num_classes=2)), default_scope='mmpretrain')
        )
    key = str(model), what
    if key not in COUNTS:
        COUNTS[key] = paper_params['count_parameters'](paper_params['build'](cfg), what)
    return COUNTS[key] + classes
