"""Finding and building interactions by their registered names."""

from typing import List, Sequence, Type, Union

from torch import nn

from ..utils import arguments, configured_class, registered_names
from .base import LayerInteraction

PLAIN = dict(type='mmdia.LayerInteraction')


def list_interactions() -> List[str]:
    """Names of all registered interactions, to be used as ``type``.

    Returns:
        List[str]: Names such as ``'mmdia.DIALSTM'``, sorted.
    """
    return registered_names(LayerInteraction)


def interaction_class(cfg: dict) -> Type[LayerInteraction]:
    """The class of an interaction; see :func:`configured_class`."""
    return configured_class(cfg, LayerInteraction, 'interaction')


def build_interaction(
    cfg: dict,
    channels: Union[int, Sequence[int]],
    num_blocks: Union[int, Sequence[int]],
    blocks: Sequence[nn.Module] = (),
    **defaults,
) -> LayerInteraction:
    """Build an interaction, which starts as the plain sum if it is to.

    Args:
        cfg (dict): Config of the interaction: ``type`` and its own arguments.
        channels (int | Sequence[int]): See :class:`LayerInteraction`.
        num_blocks (int | Sequence[int]): See :class:`LayerInteraction`.
        blocks (Sequence[ResidualBlock]): The blocks that it joins.
            Defaults to none.
        **defaults: Arguments of :class:`LayerInteraction`, such as
            ``norm_cfg`` and ``act_cfg``, where ``cfg`` has none.

    Returns:
        LayerInteraction: The interaction.
    """
    kind = interaction_class(cfg)
    interaction = kind(channels, num_blocks, **{**defaults, **arguments(cfg)})
    interaction.prepare(blocks)
    if interaction.identity_init:
        interaction.init_identity()
    return interaction
