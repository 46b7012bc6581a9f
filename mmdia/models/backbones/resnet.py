"""ResNet for images of ImageNet's size."""

from typing import Optional, Sequence, Union

from mmdia.registry import MODELS
from mmdia.utils import check_bool, check_choice, check_int, check_ints, check_type

from .arguments import block_dilations
from .blocks import BasicBlock, Bottleneck
from .defaults import library_defaults
from .network import ResidualNetwork


def segmentation_dilations(
    dilations: Sequence[Union[int, Sequence[int]]],
    stage_blocks: Sequence[int],
    contract_dilation: bool,
    multi_grid: Optional[Sequence[int]],
) -> Sequence[Union[int, Sequence[int]]]:
    """Dilations of each stage or of its blocks, as MMSegmentation's arguments give them.

    Args:
        dilations (Sequence[int | Sequence[int]]): See :class:`ResNet`.
        stage_blocks (Sequence[int]): Number of blocks of each stage.
        contract_dilation (bool): See :class:`ResNet`.
        multi_grid (Sequence[int], optional): See :class:`ResNet`.
    """
    if not contract_dilation and multi_grid is None:
        return dilations
    stages = block_dilations(dilations, stage_blocks)
    if contract_dilation:
        stages = [[max(first // 2, 1), *others] for first, *others in stages]
    if multi_grid is not None:
        check_ints('multi_grid', multi_grid, length=stage_blocks[-1])
        stages[-1] = list(multi_grid)
    return stages


@MODELS.register_module()
class ResNet(ResidualNetwork):
    """ResNet with any way to combine its layers; by default the plain one.

    Names of parameters are torchvision's, plus ``layerN.interaction.*`` or
    ``interaction.*``, so that checkpoints of torchvision, timm, MMPretrain and
    MMDetection load. With the plain interaction it computes bit for bit what
    MMPretrain's, MMDetection's and MMSegmentation's ResNets do, and it takes
    their arguments.

    ========================  ==================================
    network                   arguments
    ========================  ==================================
    ResNeXt-50 32x4d          ``groups=32, base_width=4``
    Wide ResNet-50-2          ``base_width=128``
    ResNet-V1c                ``deep_stem=True``
    ResNet-V1d                ``deep_stem=True, avg_down=True``
    with stride 8             ``strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)``
    for small images          ``small_stem=True``
    ========================  ==================================

    Source: He et al., `Deep Residual Learning for Image Recognition
    <https://arxiv.org/abs/1512.03385>`_; in groups: Xie et al., `Aggregated
    Residual Transformations for Deep Neural Networks
    <https://arxiv.org/abs/1611.05431>`_; V1c and V1d: He et al., `Bag of
    Tricks for Image Classification <https://arxiv.org/abs/1812.01187>`_.

    Args:
        depth (int): Depth, one of 18, 34, 50, 101, 152.
        interaction (dict, optional): Config of the interaction, such as
            ``dict(type='mmdia.DIALSTM', ratio=20)``. Defaults to None, the
            plain residual sum. See :func:`mmdia.apis.list_interactions`.
        stem_channels (int, optional): Output channels of the stem. Defaults
            to what the ResNet of the library has in whose scope the model is
            built: 64 in MMPretrain and MMSegmentation, else ``base_channels``.
        base_channels (int): Width of the first stage's blocks. Defaults to 64.
        num_stages (int): Number of stages. Defaults to 4.
        dilations (Sequence[int | Sequence[int]], optional): Dilation of each
            stage, or of each of its blocks. Defaults to 1.
        contract_dilation (bool): Whether the first block of a dilated stage
            has half its dilation. Defaults to False.
        multi_grid (Sequence[int], optional): Dilations of the blocks of the
            last stage. Defaults to None, that of the stage.
        base_width (int, optional): Width of a group in the first stage.
            Defaults to ``base_channels``.
        width_per_group (int, optional): MMPretrain's name of ``base_width``.
        zero_init_residual (bool, optional): Whether the last norm of every
            branch starts with weight 0. Defaults to True where there is one.
        pretrained (str, optional): Checkpoint to start from, as older configs
            say it; short for ``init_cfg=dict(type='Pretrained',
            checkpoint=...)``. Defaults to None.
        init_cfg (dict | list[dict], optional): See
            :class:`~mmdia.models.ResidualBackbone`.
        **kwargs: See :class:`~mmdia.models.ResidualNetwork`.

    Raises:
        TypeError: If an argument is of a wrong type.
        ValueError: If an argument has a value that is not allowed.

    Example:
        >>> import torch
        >>> from mmdia.models import ResNet
        >>> model = ResNet(50, interaction=dict(type='mmdia.DIALSTM'), out_indices=(0, 1, 2, 3))
        >>> for level in model(torch.rand(1, 3, 64, 64)):
        ...     print(tuple(level.shape))
        (1, 256, 16, 16)
        (1, 512, 8, 8)
        (1, 1024, 4, 4)
        (1, 2048, 2, 2)
    """

    arch_settings = {
        18: (BasicBlock, (2, 2, 2, 2)),
        34: (BasicBlock, (3, 4, 6, 3)),
        50: (Bottleneck, (3, 4, 6, 3)),
        101: (Bottleneck, (3, 4, 23, 3)),
        152: (Bottleneck, (3, 8, 36, 3)),
    }

    def __init__(
        self,
        depth: int,
        interaction: Optional[dict] = None,
        stem_channels: Optional[int] = None,
        base_channels: int = 64,
        num_stages: int = 4,
        dilations: Optional[Sequence[Union[int, Sequence[int]]]] = None,
        contract_dilation: bool = False,
        multi_grid: Optional[Sequence[int]] = None,
        base_width: Optional[int] = None,
        width_per_group: Optional[int] = None,
        zero_init_residual: Optional[bool] = None,
        pretrained: Optional[str] = None,
        init_cfg: Optional[Union[dict, list]] = None,
        **kwargs,
    ) -> None:
        check_choice('depth', depth, self.arch_settings)
        block, stage_blocks = self.arch_settings[depth]
        check_int('num_stages', num_stages, maximum=len(stage_blocks))
        check_bool('contract_dilation', contract_dilation)
        check_type('pretrained', pretrained, str, type(None))
        if width_per_group is not None:
            if base_width is not None:
                raise ValueError(
                    'base_width and width_per_group are two names of one argument, '
                    f'got base_width={base_width} and width_per_group={width_per_group}'
                )
            check_int('width_per_group', width_per_group)
            base_width = width_per_group
        if pretrained is not None:
            if init_cfg:
                raise ValueError(f'pretrained must be None with init_cfg, got {pretrained!r}')
            init_cfg = dict(type='Pretrained', checkpoint=pretrained)
        if stem_channels is None:
            stem_channels = library_defaults().stem_channels
        if dilations is None:
            dilations = (1,) * num_stages
        if zero_init_residual is None:
            zero_init_residual = kwargs.get('normalize', True)
        super().__init__(
            block,
            stage_blocks,
            interaction,
            stem_channels=stem_channels,
            base_channels=base_channels,
            num_stages=num_stages,
            dilations=segmentation_dilations(
                dilations, stage_blocks[:num_stages], contract_dilation, multi_grid
            ),
            base_width=base_width,
            zero_init_residual=zero_init_residual,
            init_cfg=init_cfg,
            **kwargs,
        )
        self.depth = depth
