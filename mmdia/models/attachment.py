"""Interactions on the ResNets of other libraries, in place."""

import logging
import re
from contextlib import contextmanager
from copy import deepcopy
from itertools import accumulate, chain
from typing import Dict, Iterator, Optional, Sequence

from mmengine.logging import MMLogger
from mmengine.model import BaseModule, initialize, is_model_wrapper
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from torch import nn

from mmdia.utils import check_bool, check_bools, check_type
from mmdia.utils.validation import refuse

from .backbones import ResidualBackbone, Stage
from .backbones.attached import (
    LIBRARIES,
    AttachedBlock,
    AttachedStage,
    activations,
    check_unwatched,
    is_known,
)
from .interactions import LayerInteraction, build_interaction, interaction_class

Stages = Dict[str, nn.Module]


def stages_of(module: nn.Module) -> Stages:
    """The stages ``layer1``, ``layer2``, ... of a ResNet, by name; empty for other modules."""
    return {
        name: child
        for name, child in module.named_children()
        if re.fullmatch(r'layer\d+', name)
        and isinstance(child, (nn.Sequential, Stage))
        and len(child)
    }


def find_backbone(model: nn.Module) -> nn.Module:
    """The one ResNet of another library that a model is or has.

    Args:
        model (nn.Module): The model.

    Raises:
        ValueError: If there is none, or more than one, if it has an
            interaction already, or if the model is wrapped.
    """
    found, others = {}, []
    for name, module in model.named_modules():
        if is_model_wrapper(module):
            raise ValueError(
                f'model must not be wrapped yet, got a {type(module).__name__}: '
                'attach the interaction first'
            )
        for stage, blocks in stages_of(module).items():
            if isinstance(blocks, Stage):
                raise ValueError(
                    f'model must have no interaction yet, got one in {stage}: detach(model) '
                    'removes what attach put there; backbones of mmdia have an argument'
                )
            if is_known(blocks[0]):
                found[name] = module
            else:
                others.append(f'{type(blocks[0]).__module__}.{type(blocks[0]).__qualname__}')
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        got = f'{len(found)} of them, {", ".join(found)}: attach to each by itself'
    else:
        got = f'blocks of another kind, {others[0]}' if others else 'none'
    raise ValueError(
        f'model must have one ResNet of {LIBRARIES}, with the stages layer1, layer2, ..., got {got}'
    )


def check_backbone(backbone: nn.Module, scope: str) -> None:
    """Check that a ResNet can have an interaction in all its stages.

    Args:
        backbone (nn.Module): The ResNet.
        scope (str): Scope of the interaction.

    Raises:
        ValueError: If a stage is hidden in another module, or the way in which the ResNet
            calls its stages leaves no room.
    """
    found = stages_of(backbone)
    for name, child in backbone.named_children():
        if re.fullmatch(r'layer\d+', name) and name not in found and list(child.children()):
            raise ValueError(
                f'{name} must be a sequence of blocks, got a {type(child).__name__}: attach the '
                'interaction first, and compile or wrap stages afterwards'
            )
    if getattr(backbone, 'grad_checkpointing', False):
        raise ValueError(
            'model must not run its blocks in checkpoints of its own: '
            'model.set_grad_checkpointing(False), and attach(..., with_cp=True) in its place'
        )
    if scope == 'network' and isinstance(backbone, nn.ModuleDict):
        raise ValueError(
            'model must not be a dict of modules that are called in turn, as with '
            'features_only=True, for an interaction that all stages share'
        )


def norm_config(norm: nn.Module) -> dict:
    """A config of norms of the kind of a given one; batch norms if there is none."""
    if isinstance(norm, nn.GroupNorm):
        return dict(type='GN', num_groups=norm.num_groups, eps=norm.eps)
    kind = 'SyncBN' if isinstance(norm, nn.SyncBatchNorm) else 'BN'
    return dict(type=kind, eps=getattr(norm, 'eps', 1e-5), momentum=getattr(norm, 'momentum', 0.1))


def check_norms(interaction: LayerInteraction, norm: nn.Module) -> None:
    """Check that an interaction brings no batch norms to blocks that have none.

    Args:
        interaction (LayerInteraction): The interaction, built with :func:`norm_config`.
        norm (nn.Module): A norm of the blocks.

    Raises:
        ValueError: If it does.
    """
    known = isinstance(norm, (_BatchNorm, nn.GroupNorm))
    frozen = 'FrozenBatchNorm' in type(norm).__name__  # those of torchvision and timm
    if not (known or frozen) and any(isinstance(m, _BatchNorm) for m in interaction.modules()):
        raise ValueError(
            f'interaction must have a norm_cfg for blocks with a {type(norm).__name__}, '
            f'got a {type(interaction).__name__} that has batch norms by default'
        )


def the_activation(stages: Stages) -> nn.Module:
    """The activation of all blocks.

    Raises:
        ValueError: If there are several kinds, or it has weights.
    """
    found = [act for stage in stages.values() for block in stage for act in activations(block)]
    kinds = {repr(act): act for act in found}
    if len(kinds) > 1 or found[0].state_dict():
        raise ValueError(
            'model must have one kind of activation, without weights, in the blocks that an '
            f'interaction joins, got {", ".join(kinds)}'
        )
    return found[0]


@contextmanager
def quiet() -> Iterator[None]:
    """MMEngine logs each weight that it initializes; this does not."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def initialize_alone(interaction: LayerInteraction) -> None:
    """Initialize an interaction as it is within a backbone of ours."""
    with quiet():
        initialize(interaction, ResidualBackbone.default_init_cfg)
        interaction.init_weights()
    for module in interaction.modules():
        if isinstance(module, BaseModule):
            module._is_init = False  # for models that are initialized afterwards


def build_for(
    stages: Sequence[Sequence[AttachedBlock]], cfg: dict, act: nn.Module, identity_init: bool
) -> LayerInteraction:
    """Build the interaction of one stage, or of all stages.

    Device, data type, mode, and norms where these are batch or group norms, are
    those of the blocks.

    Args:
        stages (Sequence[Sequence[AttachedBlock]]): The blocks, by stage.
        cfg (dict): Config of the interaction.
        act (nn.Module): The activation after the sum.
        identity_init (bool): See :class:`LayerInteraction`.

    Raises:
        ValueError: If it changes the number of channels, or has norms for which
            there is no example in the blocks.
    """
    sizes = [blocks[-1].out_channels for blocks in stages], list(map(len, stages))
    if interaction_class(cfg).scope == 'stage':
        sizes = [numbers[0] for numbers in sizes]
    block = stages[0][-1]
    norm = getattr(block, block.norm_names[-1])
    interaction = build_interaction(
        cfg,
        *sizes,
        [*chain(*stages)],
        norm_cfg=norm_config(norm),
        act_cfg=None,
        identity_init=identity_init,
    )
    if interaction.added_channels:
        raise ValueError(
            'interaction must not change the number of channels, which the layers after the '
            f'stages rely on, got {cfg!r}, which adds {interaction.added_channels}'
        )
    if 'norm_cfg' not in cfg:
        check_norms(interaction, norm)
    if 'act_cfg' not in cfg:
        interaction.act = deepcopy(act)
    weight = block.conv1.weight
    if not weight.is_meta:
        initialize_alone(interaction)
    return interaction.to(weight.device, weight.dtype).train(block.training)


def attach(
    model: nn.Module,
    interaction: dict,
    stages: Optional[Sequence[bool]] = None,
    identity_init: bool = True,
    with_cp: bool = False,
) -> nn.Module:
    """Put a layer interaction on a ResNet of another library, in place.

    The stages ``layer1``, ``layer2``, ... become stages of this package that
    use the same layers: the weights keep their names and are the same objects.
    Those of the interaction are ``layer1.interaction...`` or, where all stages
    share it, ``interaction...``. What the model does with a stage it does to its
    interaction as well, such as freezing it.

    Args:
        model (nn.Module): A ResNet of torchvision, timm, MMPretrain,
            MMDetection or MMSegmentation, or a model that has one. It is
            changed.
        interaction (dict): Config of the interaction, such as
            ``dict(type='mmdia.DIALSTM', ratio=20)``. See
            :func:`mmdia.apis.list_interactions`.
        stages (Sequence[bool], optional): Which stages get it; the others stay
            as they are. Not for interactions that all stages share.
            Defaults to all.
        identity_init (bool): Whether the model computes at first exactly what
            it did before; see :class:`LayerInteraction`. Defaults to True.
        with_cp (bool): Whether to save memory by computing the branches of
            blocks again in the backward pass. Defaults to False.

    Returns:
        nn.Module: The model.

    Raises:
        TypeError: If an argument is of a wrong type.
        ValueError: If the model does not have exactly one such ResNet, if that
            has blocks or layers of other kinds, hooks on stages, blocks or
            activations, or stages that are compiled or wrapped, or if an
            argument has a value that is not allowed.
    """
    check_type('model', model, nn.Module)
    check_bool('identity_init', identity_init)
    check_bool('with_cp', with_cp)
    scope = interaction_class(interaction).scope
    backbone = find_backbone(model)
    check_backbone(backbone, scope)
    originals = stages_of(backbone)
    if stages is not None:
        check_bools('stages', stages, len(originals))
        if scope == 'network':
            refuse(ValueError, 'stages', 'None for an interaction that all stages share', stages)
        if not any(stages):
            refuse(ValueError, 'stages', 'True for at least one stage', stages)
        originals = {name: stage for (name, stage), on in zip(originals.items(), stages) if on}
    blocks = {}
    for name, stage in originals.items():
        check_unwatched(name, stage)
        blocks[name] = [AttachedBlock(f'{name}.{i}', b, with_cp) for i, b in enumerate(stage)]
    act = the_activation(originals)
    if scope == 'stage':
        own = [build_for([group], interaction, act, identity_init) for group in blocks.values()]
        attached = list(map(AttachedStage, originals.values(), blocks.values(), own))
    else:
        shared = build_for(list(blocks.values()), interaction, act, identity_init)
        backbone.add_module('interaction', shared)
        first = accumulate(shared.num_blocks, initial=0)
        attached = [
            AttachedStage(original, group, backbone=backbone, first_index=i)
            for original, group, i in zip(originals.values(), blocks.values(), first)
        ]
    for name, stage in zip(originals, attached):
        setattr(backbone, name, stage)
        frozen = int(name.removeprefix('layer')) <= getattr(backbone, 'frozen_stages', -1)
        if frozen and stage.interaction is not None:
            stage.interaction.requires_grad_(False).eval()
    return model


def detach(model: nn.Module) -> nn.Module:
    """Remove the interaction that :func:`attach` put on a model, in place.

    The model has the stages and blocks again that it had, with the weights as
    they are now.

    Args:
        model (nn.Module): The model. It is changed.

    Returns:
        nn.Module: The model.

    Raises:
        TypeError: If ``model`` is not a module.
        ValueError: If it has no such interaction, stages that are compiled, or
            hooks that would be lost.
    """
    check_type('model', model, nn.Module)
    found = [
        (module, name, stage)
        for module in model.modules()
        for name, stage in module.named_children()
        if isinstance(stage, AttachedStage)
    ]
    if not found:
        raise ValueError('model must have an interaction from attach, got none')
    for module, name, stage in found:
        if name == '_orig_mod':  # which the compiled module would go on to call
            raise ValueError(
                f'stages must not be compiled, got a {type(module).__name__}: put back what it was '
                'made of first, as in model.layer1 = model.layer1._orig_mod'
            )
        check_unwatched(name, stage)
        for i, block in enumerate(stage):
            check_unwatched(f'{name}.{i}', block)
    for module, name, stage in found:
        setattr(module, name, stage.give_back())
        if stage.interaction is None and hasattr(module, 'interaction'):
            del module.interaction
    return model
