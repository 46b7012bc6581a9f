"""Finding and building attentions by their registered names."""

from typing import List, Optional

from ..utils import arguments, configured_class, registered_names
from .base import Attention


def list_attentions() -> List[str]:
    """Names of all registered attentions, to be used as ``type``.

    Returns:
        List[str]: Names such as ``'mmdia.SE'``, sorted.
    """
    return registered_names(Attention)


def build_attention(
    cfg: dict, in_channels: int, num_blocks: int = 1, norm_cfg: Optional[dict] = None
) -> Attention:
    """Build an attention.

    Args:
        cfg (dict): Config of the attention: ``type`` and its own arguments;
            see :func:`configured_class` for the errors of a wrong one.
        in_channels (int): See :class:`Attention`.
        num_blocks (int): See :class:`Attention`. Defaults to 1.
        norm_cfg (dict, optional): Config of norms, where ``cfg`` has none.

    Returns:
        Attention: The attention.
    """
    cls = configured_class(cfg, Attention, 'attention')
    args = arguments(cfg)
    if norm_cfg is not None:
        args.setdefault('norm_cfg', norm_cfg)
    return cls(in_channels, num_blocks, **args)
