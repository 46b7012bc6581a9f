"""Random networks: any trunk with any interaction, its arguments right or, now and then, wrong."""

import copy
import random
from dataclasses import dataclass, field
from typing import Any, Dict, Optional, Tuple

from mmdia.models import list_attentions
from mmdia.registry import MODELS

from ..helpers import INTERACTIONS
from ..wrong_values import parameters, wrong_values

NORMS = (
    dict(type='BN'),
    dict(type='BN', requires_grad=False),
    dict(type='BN', affine=False),
    dict(type='BN', momentum=0.01, eps=1e-3),
    dict(type='SyncBN'),
    dict(type='GN', num_groups=2),
    dict(type='GN', num_groups=4, affine=False),
    dict(type='IN'),
    dict(type='IN', affine=True, track_running_stats=True),
    dict(type='LN'),
    dict(type='GN', num_groups=7),
)
ACTIVATIONS = (
    dict(type='ReLU', inplace=True),
    dict(type='ReLU'),
    dict(type='LeakyReLU', inplace=True),
    dict(type='PReLU'),
    dict(type='GELU'),
    dict(type='SiLU', inplace=True),
    dict(type='Tanh'),
    dict(type='HSwish'),
    dict(type='ReLU6', inplace=True),
    dict(type='PReLU', num_parameters=3),
)
CONVOLUTIONS = (
    None,
    dict(type='Conv2d'),
    dict(type='ConvWS'),
    dict(type='Conv2d', padding_mode='reflect'),
    dict(type='Conv1d'),
)
SHORTHANDS = dict(DIAResNet='mmdia.DIALSTM', DLAResNet='mmdia.DLALight', RLAResNet='mmdia.RLA')


@dataclass
class Case:
    """A network, its input, and what is tried with it.

    Args:
        trunk (str): Name of the trunk.
        args (dict): Its arguments, the interaction's among them.
        wrong (str, optional): Name of an argument with a wrong value.
        batch (int): Number of images in training.
        size (Tuple[int, int]): Their height and width.
        precision (str): ``'double'``, ``'autocast'`` or ``'bfloat16'``.
        seed (int): Seed of weights and images.
        right (dict): The arguments without the wrong value, where there is one.
    """

    trunk: str
    args: Dict[str, Any]
    wrong: Optional[str] = None
    batch: int = 2
    size: Tuple[int, int] = (8, 8)
    precision: str = 'double'
    seed: int = 0
    right: dict = field(default_factory=dict, repr=False)


class Maker:
    """Makes the cases of a seed, each by its number.

    Args:
        seed (int): The seed.
        number (int): The number of the case.
    """

    def __init__(self, seed: int, number: int) -> None:
        self.random = random.Random(f'{seed} {number}')

    def one_of(self, *values):
        return self.random.choice(values)

    def chance(self, probability):
        return self.random.random() < probability

    def sometimes(self, probability=0.3, **values):
        """Some of a few arguments, each with one of its values."""
        return {k: self.one_of(*v) for k, v in values.items() if self.chance(probability)}

    def cell(self):
        name = self.one_of('RNNCell', 'LSTMCell', 'LightCell', 'DIACell', 'DSUCell')
        args = {}
        if name in ('DIACell', 'DSUCell'):
            args = dict(ratio=self.one_of(2, 4, 8, None))
        if name == 'DIACell':
            args |= self.sometimes(activation=('sigmoid', 'tanh', 'relu'))
        if name == 'DSUCell':
            args |= self.sometimes(
                fusion=('separate', 'concat'),
                input_activation=('tanh', 'relu', 'identity'),
                initial_memory=('random',),
            )
        return dict(type=f'mmdia.{name}', **args)

    def attention(self):
        name = self.one_of(*list_attentions())
        ratio = dict(ratio=self.one_of(1, 2, 3, 8, 16))
        args = {
            'mmdia.CBAM': ratio | self.sometimes(bias=(False,), kernel_size=(1, 3, 4)),
            'mmdia.ECA': self.sometimes(kernel_size=(1, 3, 4, 9)),
            'mmdia.GC': ratio
            | self.sometimes(
                pooling_type=('att', 'avg'),
                fusion_types=(('channel_mul',), ('channel_add', 'channel_mul')),
            ),
            'mmdia.NonLocal': ratio
            | self.sometimes(
                mode=('gaussian', 'dot_product', 'concatenation'),
                use_scale=(True, False),
                sub_sample=(True,),
            ),
            'mmdia.SE': ratio | self.sometimes(bias=(True, False)),
            'mmdia.SEM': ratio | self.sometimes(bias=(True, False)),
            'mmdia.SGE': dict(groups=self.one_of(1, 2, 4, 8)),
            'mmdia.SPA': ratio | self.sometimes(bias=(True, False), grids=((1,), (3, 2))),
        }
        return dict(type=name, **args.get(name, {}))

    def interaction(self, name):
        heads = dict(head_channels=self.one_of(1, 2, 4, 8)) | self.sometimes(
            0.2, attention_drop_path_rate=(0.2,)
        )
        ratio = dict(ratio=self.one_of(1, 2, 4, 8))
        dynamic = ratio | heads | (dict(cell=self.cell()) if self.chance(0.4) else {})
        dynamic |= self.sometimes(gate=('memory',))
        light = self.sometimes(previous=('attention',), weighting=('softmax',))
        args = {
            'mmdia.BlockAttention': dict(attention=self.attention()),
            'mmdia.DIALSTM': ratio
            | self.sometimes(
                activation=('tanh', 'relu'), num_cells=(1, 2), extra_norm=(True, False)
            ),
            'mmdia.DIALSTMLight': ratio | self.sometimes(extra_norm=(True, False)),
            'mmdia.DLABase': dynamic | self.sometimes(renewed=('features',)),
            'mmdia.DLALight': dynamic | light | self.sometimes(excite=(True, False)),
            'mmdia.LII': dict(cell=self.cell()) | self.sometimes(extra_norm=(True, False)),
            'mmdia.LayerAggregation': dict(state_channels=self.one_of(4, 8)),
            'mmdia.MRLABase': heads,
            'mmdia.MRLALight': heads | light,
            'mmdia.RLA': ratio
            | self.sometimes(
                gate=('vector',),
                context=('gmp', 'gap+mlp', 'gmp+mlp'),
                position=('sum',),
                upsample=('linear',),
                context_channels=(4, 24),
                hidden_channels=(8, 16),
            )
            | (dict(attention=self.attention()) if self.chance(0.2) else {}),
            'mmdia.SharedAttention': dict(attention=self.attention())
            | self.sometimes(share_norms=(True,)),
        }
        return args.get(name, {}) | self.sometimes(0.2, identity_init=(True,))

    def trunk(self, name):
        width = dict(base_channels=self.one_of(8, 8, 16))
        if name == 'WideResNet':
            args = dict(depth=10, widen_factor=1)
        elif name in ('CIFARResNet', 'PreResNet'):
            args = width | self.one_of(
                dict(depth=8, block='basic'),
                dict(depth=14, block='basic'),
                dict(depth=11),
                dict(depth=20, num_stages=2),
            )
        else:
            args = width | dict(depth=self.one_of(18, 18, 18, 50), num_stages=self.one_of(1, 2))
            args |= self.one_of({}, *[dict(small_stem=True)] * 4, dict(deep_stem=True))
        if name not in ('PreResNet', 'WideResNet'):
            args |= self.sometimes(
                0.15,
                normalize=(False,),
                normalize_projections=(False,),
                zero_init_residual=(True, False),
            )
        if args['depth'] in (11, 20, 50):
            args |= self.sometimes(0.2, groups=(2,))
        args |= self.sometimes(
            0.15,
            stem_channels=(4, 12),
            in_channels=(1, 4),
            style=('caffe', 'pytorch'),
            avg_down=(True,),
            project_first=(True, False),
            skip_connections=(False,),
            drop_rate=(0.1,),
            drop_path_rate=(0.2,),
            frozen_stages=(0, 1),
            norm_eval=(True,),
            with_cp=(True,),
            out_indices=((0,), (0, 1)),
            conv_cfg=CONVOLUTIONS,
        )
        return args | self.sometimes(0.5, norm_cfg=NORMS, act_cfg=ACTIVATIONS)

    def spoil(self, case):
        """Give one argument of the trunk or of the interaction a wrong value."""
        case.right = copy.deepcopy(case.args)
        interaction = case.args.get('interaction')
        owner, args = case.trunk, case.args
        if interaction is not None and self.chance(0.5):
            owner, args = interaction['type'], interaction
        own = ('block', 'stage_blocks', 'interaction', 'channels', 'num_blocks', 'cell')
        wrong = {p.name: wrong_values(p) for p in parameters(MODELS.get(owner)).values()}
        case.wrong = self.one_of(*(name for name in wrong if wrong[name] and name not in own))
        args[case.wrong] = self.one_of(*wrong[case.wrong])

    def case(self):
        trunk = self.one_of(
            'ResNet', 'ResNet', 'CIFARResNet', 'PreResNet', 'WideResNet', *SHORTHANDS
        )
        args = self.trunk(trunk)
        if trunk in SHORTHANDS:
            given = MODELS.get(trunk).interaction_arguments
            own = self.interaction(SHORTHANDS[trunk])
            args |= {key: value for key, value in own.items() if key in given}
        else:
            name = self.one_of(*INTERACTIONS)
            args['interaction'] = dict(type=name) | self.interaction(name)
            if name not in ('mmdia.RLA', 'mmdia.LayerAggregation') and self.chance(0.2):
                number = args.get('num_stages', 3)
                stages = tuple(self.chance(0.5) for _ in range(number))
                if any(stages):  # or nothing would be built of it, right or wrong
                    args['interaction']['stages'] = stages
        case = Case(
            trunk,
            args,
            batch=self.one_of(2, 3),
            size=(self.random.randint(8, 17), self.random.randint(8, 17)),
            precision=self.one_of('double', 'double', 'autocast', 'bfloat16'),
            seed=self.random.randrange(2**31),
        )
        if self.chance(0.2):
            self.spoil(case)
        return case


def make_case(seed: int, number: int) -> Case:
    """The case with a number; the same seed and number always give the same one."""
    return Maker(seed, number).case()
