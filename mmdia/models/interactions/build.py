"""Finding and building interactions by their registered names."""

from inspect import signature
from typing import List, Optional, Sequence, Type, Union

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


def refuse_arguments(network: str, names: Sequence[str], interaction: Optional[dict]) -> None:
    """Say what to write where arguments that a network has not may be those of its interaction.

    Args:
        network (str): Name of the network.
        names (Sequence[str]): The arguments.
        interaction (dict, optional): Config of the network's interaction.

    Raises:
        TypeError: Always.
    """
    message = f'{network} has no argument {", ".join(map(repr, names))}'
    if interaction is not None:
        classes = interaction_class(interaction).__mro__[:-1]
        theirs = {name for kind in classes for name in signature(kind).parameters}
        if theirs.issuperset(names):
            given = ', '.join(f'{name}=...' for name in names)
            message += f', but its interaction {interaction["type"]} has: interaction=dict({given})'
    raise TypeError(message)


def build_interaction(
    cfg: dict,
    channels: Union[int, Sequence[int]],
    num_blocks: Union[int, Sequence[int]],
    **defaults,
) -> LayerInteraction:
    """Build an interaction.

    Args:
        cfg (dict): Config of the interaction: ``type`` and its own arguments.
        channels (int | Sequence[int]): See :class:`LayerInteraction`.
        num_blocks (int | Sequence[int]): See :class:`LayerInteraction`.
        **defaults: Arguments of :class:`LayerInteraction`, such as
            ``norm_cfg`` and ``act_cfg``, where ``cfg`` has none.

    Returns:
        LayerInteraction: The interaction.
    """
    return interaction_class(cfg)(channels, num_blocks, **{**defaults, **arguments(cfg)})
