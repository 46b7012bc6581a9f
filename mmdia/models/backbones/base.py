"""What all residual trunks have in common."""

import logging
from itertools import accumulate, chain
from math import ceil
from typing import Any, Iterator, List, Optional, Sequence, Tuple, Union

from mmengine.logging import print_log
from mmengine.model import BaseModule, PretrainedInit
from mmengine.registry import WEIGHT_INITIALIZERS
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from torch import Tensor, nn

from mmdia.utils import (
    check_bool,
    check_bools,
    check_choice,
    check_init_cfg,
    check_int,
    check_ints,
)
from mmdia.utils.validation import registered_type

from ..interactions import (
    PLAIN,
    LayerInteraction,
    build_interaction,
    interaction_class,
)
from ..utils import load_pretrained, our_names
from .blocks import ResidualBlock
from .defaults import library_defaults
from .stage import Stage


def is_pretrained(cfg: dict) -> bool:
    """Whether an initialization config is one that loads a checkpoint."""
    return registered_type(WEIGHT_INITIALIZERS, cfg.get('type')) is PretrainedInit


def without_own_arguments(init_cfg: Any) -> Any:
    """An initialization config with those arguments alone that MMEngine's initializers know."""
    if isinstance(init_cfg, list):
        return [without_own_arguments(cfg) for cfg in init_cfg]
    if isinstance(init_cfg, dict) and is_pretrained(init_cfg):
        check_choice('first_conv', init_cfg.get('first_conv', 'load'), ('load', 'adapt', 'skip'))
        return {key: value for key, value in init_cfg.items() if key != 'first_conv'}
    return init_cfg


class ResidualBackbone(BaseModule):
    """A stem, then stages of residual blocks that a layer interaction joins.

    Subclasses build the stem, list its modules (:meth:`stem_modules`), set
    ``stride``, that of the whole network, and hand the blocks to
    :meth:`add_stages`.

    Args:
        num_stages (int): Number of stages.
        out_indices (Sequence[int], optional): Stages whose outputs are
            returned, each once, in the order of the stages. Defaults to what
            the ResNet of the library does in whose scope the model is built:
            all in MMDetection, MMRotate and MMSegmentation, else the last one.
        frozen_stages (int): Number of stages, with the stem, whose trunk is
            frozen and in evaluation mode; 0 freezes the stem alone, -1
            nothing. Interactions are frozen with their stage, and one for the
            whole network with the last stage, but only where ``init_cfg`` of
            this backbone loaded weights for them. Defaults to -1.
        norm_eval (bool, optional): Whether batch norms use their running
            statistics in training too; those of interactions only where
            ``init_cfg`` loaded weights for them. Defaults to what the ResNet of
            the library does in whose scope the model is built: True in
            MMDetection and MMRotate, else False.
        init_cfg (dict | list[dict], optional): Initialization config; one of
            type ``'Pretrained'`` may have ``first_conv``, see
            :func:`~mmdia.models.utils.load_pretrained`. Defaults to
            Kaiming-normal (fan out) convolutions and norms of weight 1.

    Raises:
        TypeError: If an argument is of a wrong type.
        ValueError: If ``out_indices`` or ``frozen_stages`` are not stages.
    """

    # Whether the linear layers of interactions start with biases of zero.
    zero_linear_biases = False
    default_init_cfg = [
        dict(type='Kaiming', layer='Conv2d'),
        dict(type='Constant', val=1, layer=['_BatchNorm', 'GroupNorm']),
    ]

    def __init__(
        self,
        num_stages: int,
        out_indices: Optional[Sequence[int]] = None,
        frozen_stages: int = -1,
        norm_eval: Optional[bool] = None,
        init_cfg: Optional[Union[dict, list]] = None,
    ) -> None:
        defaults = library_defaults()
        if out_indices is None:
            out_indices = range(0 if defaults.all_levels else num_stages - 1, num_stages)
        norm_eval = defaults.norm_eval if norm_eval is None else norm_eval
        check_ints('out_indices', out_indices, minimum=0, maximum=num_stages - 1)
        check_int('frozen_stages', frozen_stages, minimum=-1, maximum=num_stages)
        check_bool('norm_eval', norm_eval)
        check_init_cfg('init_cfg', without_own_arguments(init_cfg))
        super().__init__(self.default_init_cfg if init_cfg is None else init_cfg)
        self.num_stages = num_stages
        self.out_indices = tuple(out_indices)
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self._trained_interactions: List[LayerInteraction] = []

    def add_stages(
        self,
        blocks: Sequence[Sequence[ResidualBlock]],
        channels: Sequence[int],
        interaction: Optional[dict],
        stages: Optional[Sequence[bool]] = None,
        **kwargs,
    ) -> None:
        """Join the blocks of each stage by its own or by one common interaction.

        Args:
            blocks (Sequence[Sequence[ResidualBlock]]): The blocks, by stage.
            channels (Sequence[int]): Output channels of the blocks, by stage.
            interaction (dict, optional): Config of the interaction; None for
                the plain residual sum.
            stages (Sequence[bool], optional): Which stages have it; the others
                stay plain. Defaults to all.
            **kwargs: See :func:`build_interaction`.

        Raises:
            TypeError: If ``stages`` is not a sequence of truth values.
            ValueError: If ``stages`` does not fit the number of stages or the
                interaction.
        """
        interaction = PLAIN if interaction is None else interaction
        scope = interaction_class(interaction).scope
        interaction = dict(interaction)
        inner = interaction.pop('stages', None)  # where configs used to have it
        if inner is not None and stages is not None:
            raise ValueError(f'stages must be given once, got {stages} and in interaction {inner}')
        stages = inner if stages is None else stages
        self.stage_blocks = tuple(map(len, blocks))
        self.stage_channels = tuple(channels)
        self.interaction = None
        if stages is not None:
            check_bools('stages', stages, len(blocks))
        if scope == 'stage':
            chosen = (True,) * len(blocks) if stages is None else stages
            modules = [
                Stage(b, build_interaction(interaction if on else PLAIN, c, len(b), b, **kwargs))
                for b, c, on in zip(blocks, channels, chosen)
            ]
        elif stages is None:
            modules = [
                Stage(b, first_index=i)
                for b, i in zip(blocks, accumulate(self.stage_blocks, initial=0))
            ]
            self.interaction = build_interaction(
                interaction, channels, self.stage_blocks, [*chain(*blocks)], **kwargs
            )
        else:
            raise ValueError(
                f'stages must not be given for {interaction["type"]}, which all stages share, '
                f'got {stages}'
            )
        for i, stage in enumerate(modules, 1):
            self.add_module(f'layer{i}', stage)
            for block in stage:
                block.with_recipe = (stage.interaction or self.interaction).uses_recipe
        self._freeze_stages()

    def stem_modules(self) -> Sequence[nn.Module]:
        """The modules of the stem, in the order in which they are applied."""
        raise NotImplementedError

    def final_modules(self) -> Sequence[nn.Module]:
        """The modules that follow the last stage; by default none."""
        return ()

    def stages(self) -> List[Stage]:
        """The stages in their order."""
        return [getattr(self, f'layer{i + 1}') for i in range(self.num_stages)]

    def interactions(self) -> List[LayerInteraction]:
        """The interactions, one per stage or one in all."""
        return [m for m in self.modules() if isinstance(m, LayerInteraction)]

    @property
    def feat_dim(self) -> int:
        """Channels of the last stage's output, as MMPretrain calls them."""
        added = 0 if self.interaction is None else self.interaction.added_channels
        return self.stage_channels[-1] + added

    def additions(self) -> List[str]:
        """Names of the modules that plain checkpoints lack.

        These are interactions, plugins and the offsets of deformable
        convolutions.
        """
        names = []
        for name, module in self.named_modules():
            if isinstance(module, LayerInteraction) or name.endswith('.conv_offset'):
                names.append(name)
            elif isinstance(module, ResidualBlock):
                names += [f'{name}.{plugin}' for plugin in chain(*module.plugin_names)]
        return names

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Compute the feature maps.

        Args:
            x (Tensor): Images of shape (N, C, H, W).

        Returns:
            Tuple[Tensor]: A map of shape (N, C_i, H / s_i, W / s_i), rounded
            up, for each stage i of ``out_indices``.
        """
        for module in self.stem_modules():
            x = module(x)
        state = None
        outputs = []
        for i, stage in enumerate(self.stages()):
            if self.interaction is None:
                x = stage(x)
            else:
                x, state = stage(x, state, self.interaction)
            if i == self.num_stages - 1:
                for module in self.final_modules():
                    x = module(x)
                if self.interaction is not None:
                    x = self.interaction.finish(x, state)
            if i in self.out_indices:
                outputs.append(x)
        return tuple(outputs)

    def init_weights(self) -> None:
        """Initialize the weights, then load the pretrained ones.

        Raises:
            ValueError: If the pretrained weights do not fit the trunk.
        """
        if self.is_init:
            return
        given = self.init_cfg
        cfgs = [given] if isinstance(given, dict) else given or []
        cfgs = [c for c in cfgs if c]
        pretrained = [c for c in cfgs if is_pretrained(c)]
        self.init_cfg = [c for c in cfgs if c not in pretrained]
        try:
            super().init_weights()
        finally:
            self.init_cfg = given
        if self.zero_linear_biases:
            for module in self.modules():
                if isinstance(module, nn.Linear) and module.bias is not None:
                    nn.init.zeros_(module.bias)
        for cfg in pretrained:
            args = {k: v for k, v in cfg.items() if k != 'type'}
            loaded = load_pretrained(self, **args, additions=self.additions())
            self._trained_interactions = [
                module
                for name, module in self.named_modules()
                if isinstance(module, LayerInteraction)
                and any(f'{name}.{key}' in loaded for key in module.state_dict())
            ]
            self._warn_of_fresh_gates(cfg['checkpoint'])
        # Checkpoints that are resumed later do not change what is frozen.
        self._freeze_stages()

    def _warn_of_fresh_gates(self, checkpoint: str) -> None:
        """Say so where interactions that a checkpoint lacks change what its trunk computes."""
        fresh = [i for i in self.interactions() if i not in self._trained_interactions]
        if any(not i.identity_init and list(i.parameters()) for i in fresh):
            print_log(
                f'{checkpoint} has no weights for the interaction, which starts at random and '
                'changes what the trunk computes; identity_init=True in the config of the '
                'interaction starts from exactly the plain network',
                logger='current',
                level=logging.WARNING,
            )

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        """Take weights by the names of other libraries as well."""
        given = {k: v for k, v in state_dict.items() if k.startswith(prefix)}
        named = our_names({k[len(prefix) :]: v for k, v in given.items()}, self.state_dict())
        for key in given:
            del state_dict[key]
        state_dict.update({f'{prefix}{k}': v for k, v in named.items()})
        super()._load_from_state_dict(state_dict, prefix, *args)

    def train(self, mode: bool = True) -> 'ResidualBackbone':
        """Switch to training mode, but for what is frozen.

        Args:
            mode (bool): Training or evaluation. Defaults to True.

        Returns:
            ResidualBackbone: This module.
        """
        super().train(mode)
        self._freeze_stages()
        if mode and self.norm_eval:
            fresh = [i for i in self.interactions() if i not in self._trained_interactions]
            learning = {m for interaction in fresh for m in interaction.modules()}
            for module in self.modules():
                if isinstance(module, _BatchNorm) and module not in learning:
                    module.eval()
        return self

    def _frozen_modules(self) -> Iterator[nn.Module]:
        if self.frozen_stages >= 0:
            yield from self.stem_modules()
        frozen = self.stages()[: max(self.frozen_stages, 0)]
        for stage, num_blocks in zip(frozen, self.stage_blocks):
            # By name, since what compiles or wraps a stage may be no sequence.
            yield from (getattr(stage, str(i)) for i in range(num_blocks))
            if stage.interaction in self._trained_interactions:
                yield stage.interaction
        if self.frozen_stages == self.num_stages:
            yield from self.final_modules()
            if self.interaction in self._trained_interactions:
                yield self.interaction

    def _freeze_stages(self) -> None:
        for module in self._frozen_modules():
            module.eval()
            module.requires_grad_(False)

    def get_layer_depth(self, param_name: str, prefix: str = '') -> Tuple[int, int]:
        """Depth of a parameter, for layer-wise decay of the learning rate.

        Blocks are grouped as in MMPretrain: stages 1 and 4 are one layer each,
        stage 2 has a layer every 2 blocks, stage 3 every 3 (4 and 4 at depth
        152). An interaction has the depth of the end of its stage, the
        network-wide one that of the last stage.

        Args:
            param_name (str): Name of the parameter.
            prefix (str): What precedes the backbone's names, such as
                ``'backbone.'``. Defaults to ''.

        Returns:
            Tuple[int, int]: Depth of the parameter, from 0 at the stem, and
            the number of depths, the last of which is for heads.
        """
        steps = (None, 4, 4, None) if self.stage_blocks[1:2] == (8,) else (None, 2, 3, None)
        layers = [ceil(n / (step or n)) for n, step in zip(self.stage_blocks, steps)]
        last = sum(layers)
        if not param_name.startswith(prefix):
            return last + 1, last + 2
        parts = param_name[len(prefix) :].split('.')
        if parts[0] in ('interaction', 'final_norm'):
            return last, last + 2
        if not parts[0].startswith('layer'):
            return 0, last + 2
        stage = int(parts[0].removeprefix('layer')) - 1
        before = sum(layers[:stage])
        if parts[1] == 'interaction':
            return before + layers[stage], last + 2
        step = steps[stage] or self.stage_blocks[stage]
        return before + int(parts[1]) // step + 1, last + 2
