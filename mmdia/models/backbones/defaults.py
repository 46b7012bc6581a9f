"""Defaults that differ between the ResNets of the OpenMMLab libraries."""

from typing import NamedTuple, Optional

from mmengine.registry import DefaultScope

from mmdia.registry import MODELS


class Defaults(NamedTuple):
    """What a library's ResNet does where an argument is not given.

    Args:
        all_levels (bool): Whether it returns the outputs of all stages, rather
            than that of the last one.
        norm_eval (bool): See :class:`ResidualBackbone`.
        stem_channels (int, optional): Output channels of the stem; None for
            ``base_channels``.
        groups (int): Groups of the library's ResNeXt.
    """

    all_levels: bool = False
    norm_eval: bool = False
    stem_channels: Optional[int] = None
    groups: int = 32


DETECTION = Defaults(all_levels=True, norm_eval=True, groups=1)
LIBRARIES = dict(
    mmdet=DETECTION,
    mmpretrain=Defaults(stem_channels=64),
    mmrotate=DETECTION,  # whose backbones are MMDetection's
    mmseg=Defaults(all_levels=True, stem_channels=64, groups=1),
)


def library_defaults() -> Defaults:
    """The defaults of the library in whose scope a model is being built.

    That is the default scope of MMEngine, which a run sets, and ``_scope_`` in
    a config. Configs that are inherited from ours have our own scope, which
    leaves the one around it as it is.
    """
    for instance in reversed(DefaultScope._instance_dict.values()):
        if instance.scope_name != MODELS.scope:
            return LIBRARIES.get(instance.scope_name, Defaults())
    return Defaults()
