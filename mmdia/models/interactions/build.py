"""Finding and building interactions by their registered names."""

from typing import List, Optional, Sequence, Type, Union

from mmdia.registry import MODELS

from .base import LayerInteraction

PLAIN = dict(type='mmdia.LayerInteraction')


def list_interactions() -> List[str]:
    """Names of all registered interactions, to be used as ``type``.

    Returns:
        List[str]: Names such as ``'mmdia.DIALSTM'``, sorted.
    """
    MODELS.import_from_location()
    return sorted(
        f'{MODELS.scope}.{name}'
        for name, cls in MODELS.module_dict.items()
        if isinstance(cls, type) and issubclass(cls, LayerInteraction)
    )


def interaction_class(cfg: dict) -> Type[LayerInteraction]:
    """The class that a config names.

    Args:
        cfg (dict): Config with the key ``type``: a registered name, with or
            without scope, or the class itself.

    Returns:
        Type[LayerInteraction]: The class.

    Raises:
        TypeError: If ``cfg`` is not a dict or ``type`` is not an interaction.
        ValueError: If ``type`` is missing or not registered.
    """
    allowed = f'registered are {", ".join(list_interactions())}'
    if not isinstance(cfg, dict):
        raise TypeError(
            f"interaction must be a dict such as dict(type='mmdia.DIALSTM'), got {cfg!r}; {allowed}"
        )
    name = cfg.get('type')
    if not isinstance(name, (str, type)):
        raise ValueError(f'interaction needs a type, got {cfg!r}; {allowed}')
    cls = MODELS.get(name) if isinstance(name, str) else name
    if cls is None:
        raise ValueError(f'interaction type {name!r} is not registered; {allowed}')
    if not (isinstance(cls, type) and issubclass(cls, LayerInteraction)):
        raise TypeError(f'interaction type {name!r} is not a LayerInteraction; {allowed}')
    return cls


def build_interaction(
    cfg: dict,
    channels: Union[int, Sequence[int]],
    num_blocks: Union[int, Sequence[int]],
    norm_cfg: Optional[dict] = None,
    act_cfg: Optional[dict] = None,
) -> LayerInteraction:
    """Build an interaction.

    The class is looked up in the registry of mmdia whatever the default scope
    of the run.

    Args:
        cfg (dict): Config of the interaction: ``type`` and its own arguments.
        channels (int | Sequence[int]): See :class:`LayerInteraction`.
        num_blocks (int | Sequence[int]): See :class:`LayerInteraction`.
        norm_cfg (dict, optional): Config of norms, where ``cfg`` has none.
        act_cfg (dict, optional): Config of activations, where ``cfg`` has none.

    Returns:
        LayerInteraction: The interaction.
    """
    cls = interaction_class(cfg)
    args = {k: v for k, v in cfg.items() if k != 'type'}
    if norm_cfg is not None:
        args.setdefault('norm_cfg', norm_cfg)
    if act_cfg is not None:
        args.setdefault('act_cfg', act_cfg)
    return cls(channels, num_blocks, **args)
