"""Residual networks of three stages for images of CIFAR's size."""

from typing import Dict, Optional, Tuple, Type

from mmdia.registry import MODELS
from mmdia.utils import check_choice, check_int

from .blocks import BasicBlock, Bottleneck, ResidualBlock
from .network import ResidualNetwork
from .preactivation import PreActivationBasicBlock, PreActivationBottleneck, WideBlock


def equal_stages(depth: int, convs: int, others: int) -> Tuple[int, int, int]:
    """Number of blocks of each of three equal stages.

    Args:
        depth (int): Depth of the network.
        convs (int): Convolutions of a block.
        others (int): Layers outside the blocks that count.

    Raises:
        TypeError: If ``depth`` is not an integer.
        ValueError: If there is no network of this depth.
    """
    check_int('depth', depth, minimum=3 * convs + others, maximum=10_000)
    num_blocks, rest = divmod(depth - others, 3 * convs)
    if rest:
        raise ValueError(f'depth must be {3 * convs}n + {others} with n an integer, got {depth}')
    return (num_blocks,) * 3


@MODELS.register_module()
class CIFARResNet(ResidualNetwork):
    """ResNet of three equal stages after one 3x3 convolution, for small images.

    The first block of every stage has a projection. ResNeXt-101 8x32 of the
    papers is depth 101 with ``base_channels=32, groups=8, base_width=32``.

    Source: He et al., `Deep Residual Learning for Image Recognition
    <https://arxiv.org/abs/1512.03385>`_, section 4.2, with projections in the
    place of zero padding, as in all four papers of this package. Weights start
    as there too: Kaiming-normal, norms with weight 1; with groups, also biases
    of linear layers with 0, as in the ResNeXt of DIANet's released code.

    Args:
        depth (int): Depth: 9n + 2 of bottlenecks (20, 29, 47, 56, 83, 110,
            164, ...), 6n + 2 of basic blocks (20, 32, 44, 56, 110, ...).
        block (str): ``'bottleneck'``, as in DIANet and Dynamic Layer
            Attention, or ``'basic'``, as in Recurrent Layer Attention.
            Defaults to ``'bottleneck'``.
        interaction (dict, optional): Config of the interaction. Defaults to
            None, the plain residual sum.
        base_channels (int): Width of the first stage's blocks. Defaults to 16.
        small_stem (bool): See :class:`~mmdia.models.ResidualNetwork`.
            Defaults to True.
        project_first (bool): See :class:`~mmdia.models.ResidualNetwork`.
            Defaults to True.
        **kwargs: See :class:`~mmdia.models.ResidualNetwork`.

    Raises:
        TypeError: If an argument is of a wrong type.
        ValueError: If an argument has a value that is not allowed.

    Example:
        >>> import torch
        >>> from mmdia.models import CIFARResNet
        >>> model = CIFARResNet(164, interaction=dict(type='mmdia.DIALSTM', ratio=4))
        >>> [tuple(level.shape) for level in model(torch.rand(1, 3, 32, 32))]
        [(1, 256, 8, 8)]
    """

    block_types: Dict[str, Type[ResidualBlock]] = dict(basic=BasicBlock, bottleneck=Bottleneck)

    def __init__(
        self,
        depth: int,
        block: str = 'bottleneck',
        interaction: Optional[dict] = None,
        base_channels: int = 16,
        small_stem: bool = True,
        project_first: bool = True,
        **kwargs,
    ) -> None:
        check_choice('block', block, self.block_types)
        super().__init__(
            self.block_types[block],
            equal_stages(depth, convs=2 if block == 'basic' else 3, others=2),
            interaction,
            base_channels=base_channels,
            small_stem=small_stem,
            project_first=project_first,
            **kwargs,
        )
        self.depth = depth
        self.zero_linear_biases = kwargs.get('groups', 1) > 1


@MODELS.register_module()
class PreResNet(CIFARResNet):
    """:class:`CIFARResNet` with norm and activation before the convolutions.

    Sums are not activated; norm and activation follow the last stage.

    Source: He et al., `Identity Mappings in Deep Residual Networks
    <https://arxiv.org/abs/1603.05027>`_; see
    :class:`~mmdia.models.PreActivationBlock` for the shortcuts.

    Args:
        depth (int): See :class:`CIFARResNet`.
        *args: See :class:`CIFARResNet`.
        project_first (bool): See :class:`~mmdia.models.ResidualNetwork`.
            Defaults to False.
        **kwargs: See :class:`CIFARResNet`.
    """

    block_types = dict(basic=PreActivationBasicBlock, bottleneck=PreActivationBottleneck)

    def __init__(self, depth: int, *args, project_first: bool = False, **kwargs) -> None:
        super().__init__(depth, *args, project_first=project_first, **kwargs)


@MODELS.register_module()
class WideResNet(ResidualNetwork):
    """Wide ResNet: three equal stages of wide pre-activation blocks.

    Source: Zagoruyko and Komodakis, `Wide Residual Networks
    <https://arxiv.org/abs/1605.07146>`_. Biases of linear layers start with 0,
    as in DIANet's released code.

    Args:
        depth (int): Depth, 6n + 4: 16, 28, 40, 52, ...
        widen_factor (int): Times that blocks are wider than 16, 32 and 64.
        interaction (dict, optional): Config of the interaction. Defaults to
            None, the plain residual sum.
        stem_channels (int): Output channels of the stem. Defaults to 16.
        small_stem (bool): See :class:`~mmdia.models.ResidualNetwork`.
            Defaults to True.
        **kwargs: See :class:`~mmdia.models.ResidualNetwork`; ``drop_rate`` is
            0.3 in the paper.

    Raises:
        TypeError: If an argument is of a wrong type.
        ValueError: If an argument has a value that is not allowed.

    Example:
        >>> import torch
        >>> from mmdia.models import WideResNet
        >>> model = WideResNet(16, 4, interaction=dict(type='mmdia.DIALSTM', ratio=4))
        >>> [tuple(level.shape) for level in model(torch.rand(1, 3, 32, 32))]
        [(1, 256, 8, 8)]
    """

    zero_linear_biases = True

    def __init__(
        self,
        depth: int,
        widen_factor: int,
        interaction: Optional[dict] = None,
        stem_channels: int = 16,
        small_stem: bool = True,
        **kwargs,
    ) -> None:
        check_int('widen_factor', widen_factor, maximum=4096)
        check_int('stem_channels', stem_channels)
        super().__init__(
            WideBlock,
            equal_stages(depth, convs=2, others=4),
            interaction,
            stem_channels=stem_channels,
            base_channels=16 * widen_factor,
            small_stem=small_stem,
            **kwargs,
        )
        self.depth = depth
