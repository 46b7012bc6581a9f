"""ResNet whose blocks are joined by a layer interaction."""

from itertools import count
from math import prod
from typing import List, Optional, Sequence, Union

from mmcv.cnn import build_activation_layer, build_conv_layer, build_norm_layer
from torch import nn

from mmdia.registry import MODELS
from mmdia.utils import check_int

from .base import ResidualBackbone
from .blocks import BasicBlock, Bottleneck, ResidualBlock


@MODELS.register_module()
class ResNet(ResidualBackbone):
    """ResNet with any way to combine its layers; by default the plain one.

    Names of parameters are torchvision's, plus ``layerN.interaction.*`` or
    ``interaction.*``, so that checkpoints of torchvision, timm, MMPretrain and
    MMDetection load. With the plain interaction it computes bit for bit what
    MMPretrain's and MMDetection's ResNet do.

    Source: He et al., `Deep Residual Learning for Image Recognition
    <https://arxiv.org/abs/1512.03385>`_.

    Args:
        depth (int): Depth, one of 18, 34, 50, 101, 152.
        interaction (dict, optional): Config of the interaction, such as
            ``dict(type='mmdia.DIALSTM', ratio=20)``. Defaults to None, the
            plain residual sum. See :func:`mmdia.apis.list_interactions`.
        in_channels (int): Channels of the image. Defaults to 3.
        stem_channels (int, optional): Output channels of the stem. Defaults
            to ``base_channels``.
        base_channels (int): Width of the first stage's blocks. Defaults to 64.
        num_stages (int): Number of stages, 1 to 4. Defaults to 4.
        strides (Sequence[int]): Stride of the first block of each stage.
            Defaults to ``(1, 2, 2, 2)``.
        dilations (Sequence[int]): Dilation of each stage.
            Defaults to ``(1, 1, 1, 1)``.
        out_indices (Sequence[int], optional): Stages whose outputs are
            returned. Defaults to the last one (MMDetection's ResNet: all).
        style (str): ``'pytorch'`` or ``'caffe'``: whether bottlenecks have
            their stride in the 3x3 or in the first 1x1 convolution.
            Defaults to ``'pytorch'``.
        small_stem (bool): Whether the stem is one 3x3 convolution without
            stride and pooling, for images of CIFAR's size, in place of a 7x7
            convolution and pooling, both of stride 2. Defaults to False.
        frozen_stages (int): Number of stages, with the stem, whose trunk is
            frozen and in evaluation mode; 0 freezes the stem alone, -1
            nothing. Interactions are frozen with their stage, and one for the
            whole network with the last stage, but only where ``init_cfg`` of
            this backbone loaded weights for them. Defaults to -1.
        conv_cfg (dict, optional): Config of convolutions. Defaults to None.
        norm_cfg (dict): Config of norms.
            Defaults to ``dict(type='BN', requires_grad=True)``.
        act_cfg (dict): Config of activations.
            Defaults to ``dict(type='ReLU', inplace=True)``.
        norm_eval (bool): Whether batch norms use their running statistics in
            training too; those of interactions only where ``init_cfg`` loaded
            weights for them. Defaults to False (MMDetection's ResNet: True).
        with_cp (bool): Whether to save memory by computing the branches of
            blocks again in the backward pass. Defaults to False.
        zero_init_residual (bool): Whether the last norm of every branch starts
            with weight 0. Defaults to True.
        drop_path_rate (float): Probability to drop the branch of the last
            block; it grows linearly from 0 at the first. Interactions see what
            is left: zeros where a branch is dropped. Defaults to 0.
        init_cfg (dict | list[dict], optional): Initialization config. Defaults
            to Kaiming-normal (fan out) convolutions and norms of weight 1.

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
        in_channels: int = 3,
        stem_channels: Optional[int] = None,
        base_channels: int = 64,
        num_stages: int = 4,
        strides: Sequence[int] = (1, 2, 2, 2),
        dilations: Sequence[int] = (1, 1, 1, 1),
        out_indices: Optional[Sequence[int]] = None,
        style: str = 'pytorch',
        small_stem: bool = False,
        frozen_stages: int = -1,
        conv_cfg: Optional[dict] = None,
        norm_cfg: dict = dict(type='BN', requires_grad=True),
        act_cfg: dict = dict(type='ReLU', inplace=True),
        norm_eval: bool = False,
        with_cp: bool = False,
        zero_init_residual: bool = True,
        drop_path_rate: float = 0.0,
        init_cfg: Optional[Union[dict, list]] = None,
    ) -> None:
        if depth not in self.arch_settings:
            raise ValueError(f'depth must be one of {sorted(self.arch_settings)}, got {depth!r}')
        self._check_widths(in_channels, base_channels, stem_channels)
        self._check_stages(num_stages, strides, dilations)
        if style not in ('pytorch', 'caffe'):
            raise ValueError(f"style must be 'pytorch' or 'caffe', got {style!r}")
        if not 0 <= drop_path_rate < 1:
            raise ValueError(f'drop_path_rate must be in [0, 1), got {drop_path_rate}')
        super().__init__(num_stages, out_indices, frozen_stages, norm_eval, init_cfg)
        self.depth = depth
        self.strides = tuple(strides)
        self.dilations = tuple(dilations)
        self.block, stage_blocks = self.arch_settings[depth]
        channels = [base_channels * self.block.expansion * 2**i for i in range(num_stages)]

        stem_channels = base_channels if stem_channels is None else stem_channels
        self._make_stem(in_channels, stem_channels, small_stem, conv_cfg, norm_cfg, act_cfg)
        blocks = self._make_blocks(
            stage_blocks[:num_stages],
            stem_channels,
            channels,
            drop_path_rate,
            style=style,
            with_cp=with_cp,
            conv_cfg=conv_cfg,
            norm_cfg=norm_cfg,
            act_cfg=act_cfg,
            zero_init_residual=zero_init_residual,
        )
        # Norms of interactions learn even where those of a pretrained trunk do not.
        interaction_norm_cfg = dict(norm_cfg, requires_grad=True)
        self.add_stages(
            blocks, channels, interaction, norm_cfg=interaction_norm_cfg, act_cfg=act_cfg
        )

    @staticmethod
    def _check_widths(in_channels: int, base_channels: int, stem_channels: Optional[int]) -> None:
        check_int('in_channels', in_channels)
        check_int('base_channels', base_channels)
        if stem_channels is not None:
            check_int('stem_channels', stem_channels)

    @staticmethod
    def _check_stages(num_stages: int, strides: Sequence[int], dilations: Sequence[int]) -> None:
        check_int('num_stages', num_stages)
        if num_stages > 4:
            raise ValueError(f'num_stages must be in 1 ... 4, got {num_stages}')
        for name, values in (('strides', strides), ('dilations', dilations)):
            if len(values) != num_stages:
                raise ValueError(
                    f'{name} must have one entry for each of the {num_stages} stages, got {values}'
                )
            for value in values:
                check_int(f'every entry of {name}', value)

    def _make_stem(
        self,
        in_channels: int,
        channels: int,
        small: bool,
        conv_cfg: Optional[dict],
        norm_cfg: dict,
        act_cfg: dict,
    ) -> None:
        kernel_size, stride = (3, 1) if small else (7, 2)
        self.conv1 = build_conv_layer(
            conv_cfg,
            in_channels,
            channels,
            kernel_size,
            stride=stride,
            padding=kernel_size // 2,
            bias=False,
        )
        self.norm1_name, norm = build_norm_layer(norm_cfg, channels, postfix=1)
        self.add_module(self.norm1_name, norm)
        self.act = build_activation_layer(act_cfg)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, stride=2, padding=1)
        self.stride = prod(self.strides) * (1 if small else 4)

    def _make_blocks(
        self,
        stage_blocks: Sequence[int],
        in_channels: int,
        channels: Sequence[int],
        drop_path_rate: float,
        **kwargs,
    ) -> List[List[ResidualBlock]]:
        """Build the blocks of all stages."""
        last = max(sum(stage_blocks) - 1, 1)
        rates = (drop_path_rate * i / last for i in count())
        stages = []
        for i, (num_blocks, out_channels) in enumerate(zip(stage_blocks, channels)):
            blocks = []
            for j in range(num_blocks):
                stride = self.strides[i] if j == 0 else 1
                block = self.block(
                    in_channels,
                    out_channels,
                    stride=stride,
                    dilation=self.dilations[i],
                    drop_path_rate=next(rates),
                    **kwargs,
                )
                blocks.append(block)
                in_channels = out_channels
            stages.append(blocks)
        return stages

    def stem_modules(self) -> Sequence[nn.Module]:
        """See :meth:`ResidualBackbone.stem_modules`."""
        return self.conv1, self.norm1, self.act, self.maxpool

    @property
    def norm1(self) -> nn.Module:
        """The norm of the stem."""
        return getattr(self, self.norm1_name)
