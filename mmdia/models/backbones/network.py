"""Residual networks of any blocks, joined by a layer interaction."""

from itertools import count
from math import prod
from typing import List, Optional, Sequence, Type, Union

from torch import nn

from mmdia.utils import check_int

from ..utils import build_activation_layer, build_norm_layer
from .arguments import block_dilations, check_arguments, refuse_arguments
from .base import ResidualBackbone
from .blocks import ResidualBlock
from .plugins import plugins_of_stage
from .stem import build_stem


class ResidualNetwork(ResidualBackbone):
    """A stem, and stages of one kind of block whose width doubles from stage to stage.

    Base of the networks that are registered; they choose the blocks.

    Args:
        block (Type[ResidualBlock]): Class of the blocks.
        stage_blocks (Sequence[int]): Number of blocks of each stage.
        interaction (dict, optional): Config of the interaction, such as
            ``dict(type='mmdia.DIALSTM', ratio=20)``. Defaults to None, the
            plain residual sum. See :func:`mmdia.apis.list_interactions`.
        stages (Sequence[bool], optional): Which stages have the interaction;
            the others stay plain. Not for interactions that all stages share.
            Defaults to all.
        in_channels (int): Channels of the image. Defaults to 3.
        stem_channels (int, optional): Output channels of the stem. Defaults
            to ``base_channels``.
        base_channels (int): Width of the first stage's blocks. Defaults to 64.
        expansion (int, optional): Output channels of bottlenecks over that
            width. Defaults to 4; basic blocks have 1.
        num_stages (int, optional): Number of stages. Defaults to that of the
            network; fewer leave out the last ones.
        strides (Sequence[int], optional): Stride of the first block of each
            stage. Defaults to 1, then 2.
        dilations (Sequence[int | Sequence[int]], optional): Dilation of each
            stage, or of each of its blocks. Defaults to 1.
        out_indices (Sequence[int], optional): See
            :class:`~mmdia.models.ResidualBackbone`.
        style (str): ``'pytorch'`` or ``'caffe'``: whether bottlenecks have
            their stride in the 3x3 or in the first 1x1 convolution.
            Defaults to ``'pytorch'``.
        small_stem (bool): Whether the stem is one 3x3 convolution without
            stride and pooling, for images of CIFAR's size, in place of a 7x7
            convolution and pooling, both of stride 2. Defaults to False.
        deep_stem (bool): Whether three 3x3 convolutions take the place of the
            7x7 one, as in ResNet-V1c and -V1d. Defaults to False.
        avg_down (bool): Whether projections in shortcuts pool instead of
            striding, as in ResNet-V1d. Defaults to False.
        groups (int): Groups of the 3x3 convolutions of bottlenecks; more than
            one make a ResNeXt. Defaults to 1.
        base_width (int, optional): Width of a group in the first stage, where
            blocks are ``groups`` times as wide. Defaults to
            ``base_channels``, which with one group is a plain ResNet.
        project_first (bool): Whether the first block of every stage has a
            projection in its shortcut, even where it changes no shape.
            Defaults to False.
        skip_connections (bool): Whether blocks have shortcuts; without, an
            ablation, these are zero. Defaults to True.
        normalize (bool): Whether stem and branches have norms; without, an
            ablation, only the projections in shortcuts have, as the counts in
            Table 8 of `DIANet <https://arxiv.org/abs/1905.10671>`_ say.
            Defaults to True.
        normalize_projections (bool): Whether projections in shortcuts have
            norms. Without these and ``normalize`` there are none.
            Defaults to True.
        frozen_stages (int): See :class:`~mmdia.models.ResidualBackbone`.
            Defaults to -1.
        conv_cfg (dict, optional): Config of convolutions. Defaults to None.
        norm_cfg (dict): Config of norms.
            Defaults to ``dict(type='BN', requires_grad=True)``.
        act_cfg (dict): Config of activations.
            Defaults to ``dict(type='ReLU', inplace=True)``.
        norm_eval (bool, optional): See :class:`~mmdia.models.ResidualBackbone`.
        with_cp (bool): Whether to save memory by computing the branches of
            blocks again in the backward pass. Defaults to False.
        zero_init_residual (bool): Whether the last norm of every branch starts
            with weight 0. Defaults to False.
        drop_rate (float): Dropout before the last convolution of every block.
            Defaults to 0.
        drop_path_rate (float): Probability to drop the branch of the last
            block; it grows linearly from 0 at the first. Interactions see what
            is left: zeros where a branch is dropped. Defaults to 0.
        dcn (dict, optional): Config of deformable convolutions, which take the
            place of the 3x3 ones of bottlenecks. Defaults to None.
        stage_with_dcn (Sequence[bool], optional): Which stages have them.
            Defaults to none.
        plugins (Sequence[dict], optional): Further layers in the branches of
            bottlenecks; see :func:`~.plugins.check_plugins`. Defaults to None.
        init_cfg (dict | list[dict], optional): See
            :class:`~mmdia.models.ResidualBackbone`.

    Raises:
        TypeError: If an argument is of a wrong type.
        ValueError: If an argument has a value that is not allowed.
    """

    def __init__(
        self,
        block: Type[ResidualBlock],
        stage_blocks: Sequence[int],
        interaction: Optional[dict] = None,
        stages: Optional[Sequence[bool]] = None,
        in_channels: int = 3,
        stem_channels: Optional[int] = None,
        base_channels: int = 64,
        expansion: Optional[int] = None,
        num_stages: Optional[int] = None,
        strides: Optional[Sequence[int]] = None,
        dilations: Optional[Sequence[Union[int, Sequence[int]]]] = None,
        out_indices: Optional[Sequence[int]] = None,
        style: str = 'pytorch',
        small_stem: bool = False,
        deep_stem: bool = False,
        avg_down: bool = False,
        groups: int = 1,
        base_width: Optional[int] = None,
        project_first: bool = False,
        skip_connections: bool = True,
        normalize: bool = True,
        normalize_projections: bool = True,
        frozen_stages: int = -1,
        conv_cfg: Optional[dict] = None,
        norm_cfg: dict = dict(type='BN', requires_grad=True),
        act_cfg: dict = dict(type='ReLU', inplace=True),
        norm_eval: Optional[bool] = None,
        with_cp: bool = False,
        zero_init_residual: bool = False,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        dcn: Optional[dict] = None,
        stage_with_dcn: Optional[Sequence[bool]] = None,
        plugins: Optional[Sequence[dict]] = None,
        init_cfg: Optional[Union[dict, list]] = None,
        **unknown,
    ) -> None:
        if unknown:
            refuse_arguments(type(self).__name__, sorted(unknown), interaction)
        num_stages = len(stage_blocks) if num_stages is None else num_stages
        check_int('num_stages', num_stages, maximum=len(stage_blocks))
        stage_blocks = stage_blocks[:num_stages]
        strides = (1, 2, 2, 2)[:num_stages] if strides is None else strides
        dilations = (1,) * num_stages if dilations is None else dilations
        stage_with_dcn = (False,) * num_stages if stage_with_dcn is None else stage_with_dcn
        expansion = block.expansion if expansion is None else expansion
        stem_channels = base_channels if stem_channels is None else stem_channels
        base_width = base_channels if base_width is None else base_width
        check_arguments(locals())
        # A key that MMDetection's configs have.
        dcn = dcn and {key: value for key, value in dcn.items() if key != 'fallback_on_stride'}
        super().__init__(num_stages, out_indices, frozen_stages, norm_eval, init_cfg)
        self.block = block
        self.strides = tuple(strides)
        self.dilations = tuple(dilations)
        self.deep_stem = deep_stem

        widths = [base_channels * 2**i for i in range(num_stages)]
        channels = [width * expansion for width in widths]
        if block.preactivation:
            # Before the stem: tools fuse a norm into the convolution that precedes it.
            self.final_norm = build_norm_layer(norm_cfg, channels[-1])[1]
            self.final_act = build_activation_layer(act_cfg)
        stem = build_stem(
            'small' if small_stem else 'deep' if deep_stem else 'large',
            in_channels,
            stem_channels,
            conv_cfg,
            norm_cfg if normalize and not block.preactivation else None,
            None if block.preactivation else act_cfg,
        )
        self.stem_names = tuple(stem)
        for name, module in stem.items():
            self.add_module(name, module)
        self.stride = prod(self.strides) * (1 if small_stem else 4)
        blocks = self._make_blocks(
            [stem_channels, *channels],
            block_dilations(dilations, stage_blocks),
            drop_path_rate,
            project_first,
            [
                dict(
                    mid_channels=widths[i] * base_width // base_channels * groups,
                    dcn=dcn if stage_with_dcn[i] else None,
                    plugins=plugins_of_stage(plugins, i),
                )
                for i in range(num_stages)
            ],
            groups=groups,
            style=style,
            avg_down=avg_down,
            skip_connections=skip_connections,
            normalize=normalize,
            normalize_projections=normalize_projections,
            drop_rate=drop_rate,
            zero_init_residual=zero_init_residual,
            with_cp=with_cp,
            conv_cfg=conv_cfg,
            norm_cfg=norm_cfg,
            act_cfg=act_cfg,
        )
        self.add_stages(
            blocks,
            channels,
            interaction,
            stages,
            # Norms of interactions learn even where those of a pretrained trunk do not.
            norm_cfg=dict(norm_cfg, requires_grad=True),
            act_cfg=None if block.preactivation else act_cfg,
        )

    def _make_blocks(
        self,
        channels: Sequence[int],
        dilations: Sequence[Sequence[int]],
        drop_path_rate: float,
        project_first: bool,
        stage_kwargs: Sequence[dict],
        **kwargs,
    ) -> List[List[ResidualBlock]]:
        """Build the blocks of all stages; ``channels`` begins with the stem's."""
        last = max(sum(map(len, dilations)) - 1, 1)
        rates = (drop_path_rate * i / last for i in count())
        return [
            [
                self.block(
                    channels[i] if j == 0 else channels[i + 1],
                    channels[i + 1],
                    stride=self.strides[i] if j == 0 else 1,
                    dilation=dilation,
                    project=project_first and j == 0,
                    drop_path_rate=next(rates),
                    **stage_kwargs[i],
                    **kwargs,
                )
                for j, dilation in enumerate(dilations[i])
            ]
            for i in range(len(dilations))
        ]

    @property
    def norm1(self) -> nn.Module:
        """The norm of the stem, whatever its kind; not of a deep stem, which has several."""
        for name in self.stem_names:
            if name not in ('conv1', 'stem', 'act', 'maxpool'):
                return getattr(self, name)
        raise AttributeError(f'the stem of this {type(self).__name__} has no norm of its own')

    def stem_modules(self) -> List[nn.Module]:
        return [getattr(self, name) for name in self.stem_names]

    def final_modules(self) -> List[nn.Module]:
        return [self.final_norm, self.final_act] if self.block.preactivation else []
