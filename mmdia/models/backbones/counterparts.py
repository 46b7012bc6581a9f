"""The relatives of ResNet in other libraries, under the names that their configs give them."""

from typing import Optional

from mmdia.registry import MODELS
from mmdia.utils import check_int

from .defaults import library_defaults
from .resnet import ResNet


@MODELS.register_module()
class ResNetV1c(ResNet):
    """:class:`ResNet` with three 3x3 convolutions in place of the 7x7 one.

    Args:
        depth (int): See :class:`ResNet`.
        **kwargs: See :class:`ResNet`.
    """

    def __init__(self, depth: int, **kwargs) -> None:
        super().__init__(depth, **{'deep_stem': True, **kwargs})


@MODELS.register_module()
class ResNetV1d(ResNetV1c):
    """:class:`ResNetV1c` whose projections pool instead of striding.

    Args:
        depth (int): See :class:`ResNet`.
        **kwargs: See :class:`ResNet`.
    """

    def __init__(self, depth: int, **kwargs) -> None:
        super().__init__(depth, **{'avg_down': True, **kwargs})


@MODELS.register_module()
class ResNeXt(ResNet):
    """:class:`ResNet` whose 3x3 convolutions are in groups.

    Args:
        depth (int): Depth, one of 50, 101, 152.
        groups (int, optional): Number of groups; with 1 it is a ResNet.
            Defaults to what the ResNeXt of the library has in whose scope the
            model is built: 1 in MMDetection and MMSegmentation, else 32.
        base_width (int, optional): Width of a group in the first stage.
            Defaults to 4.
        width_per_group (int, optional): MMPretrain's name of ``base_width``.
        **kwargs: See :class:`ResNet`.
    """

    arch_settings = {depth: ResNet.arch_settings[depth] for depth in (50, 101, 152)}

    def __init__(
        self,
        depth: int,
        groups: Optional[int] = None,
        base_width: Optional[int] = None,
        width_per_group: Optional[int] = None,
        **kwargs,
    ) -> None:
        groups = library_defaults().groups if groups is None else groups
        if groups == 1:
            base_width = width_per_group = None
        elif base_width is None and width_per_group is None:
            base_width = 4
        super().__init__(
            depth, groups=groups, base_width=base_width, width_per_group=width_per_group, **kwargs
        )


@MODELS.register_module()
class ResNet_CIFAR(ResNet):
    """:class:`ResNet` of four stages for small images: its stem is one 3x3 convolution.

    Args:
        depth (int): See :class:`ResNet`.
        **kwargs: See :class:`ResNet`.
    """

    def __init__(self, depth: int, **kwargs) -> None:
        super().__init__(depth, **{'small_stem': True, **kwargs})


class SENetwork:
    """Mixed into a network: one squeeze-and-excitation a block.

    Args:
        depth (int): Depth, one of 50, 101, 152.
        se_ratio (int): Reduction ratio. Defaults to 16.
        interaction (None): Must not be given.
        **kwargs: See :class:`ResNet`.

    Raises:
        ValueError: If ``interaction`` is given.
    """

    arch_settings = ResNeXt.arch_settings

    def __init__(
        self, depth: int, se_ratio: int = 16, interaction: Optional[dict] = None, **kwargs
    ) -> None:
        if interaction is not None:
            raise ValueError(
                f'interaction must be None, got {interaction!r}: {type(self).__name__} has SE; '
                "with another one use 'mmdia.ResNet', or 'mmdia.ResNeXt' with groups"
            )
        check_int('se_ratio', se_ratio)
        attention = dict(type='mmdia.SE', ratio=se_ratio)
        interaction = dict(type='mmdia.BlockAttention', attention=attention)
        super().__init__(depth, interaction=interaction, **kwargs)


@MODELS.register_module()
class SEResNet(SENetwork, ResNet):
    """:class:`ResNet` with squeeze-and-excitation; see :class:`SENetwork` for its arguments."""


@MODELS.register_module()
class SEResNeXt(SENetwork, ResNeXt):
    """:class:`ResNeXt` with squeeze-and-excitation; see :class:`SENetwork` for its arguments."""
