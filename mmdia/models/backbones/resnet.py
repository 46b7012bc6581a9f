"""ResNet whose blocks are joined by a layer interaction."""

from itertools import accumulate
from math import ceil, prod
from typing import Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np
from mmcv.cnn import build_activation_layer, build_conv_layer, build_norm_layer
from mmengine.model import BaseModule, PretrainedInit
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from torch import Tensor, nn

from mmdia.registry import MODELS

from ..interactions import LayerInteraction, build_interaction, interaction_class
from ..interactions.build import PLAIN
from ..utils import check_positive_int, load_pretrained
from .blocks import BasicBlock, Bottleneck, ResidualBlock
from .stage import Stage


@MODELS.register_module()
class ResNet(BaseModule):
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
            returned. Defaults to the last one.
        style (str): ``'pytorch'`` or ``'caffe'``: whether bottlenecks have
            their stride in the 3x3 or in the first 1x1 convolution.
            Defaults to ``'pytorch'``.
        small_stem (bool): Whether the stem is one 3x3 convolution without
            stride and pooling, for images of CIFAR's size, in place of a 7x7
            convolution and pooling, both of stride 2. Defaults to False.
        frozen_stages (int): Number of stages, with the stem, whose trunk is
            frozen and in evaluation mode; 0 freezes the stem alone, -1
            nothing. Interactions are frozen with their stage only where
            ``init_cfg`` loaded weights for them. Defaults to -1.
        conv_cfg (dict, optional): Config of convolutions. Defaults to None.
        norm_cfg (dict): Config of norms.
            Defaults to ``dict(type='BN', requires_grad=True)``.
        act_cfg (dict): Config of activations.
            Defaults to ``dict(type='ReLU', inplace=True)``.
        norm_eval (bool): Whether batch norms use their running statistics in
            training too; those of interactions only where ``init_cfg`` loaded
            weights for them. Defaults to False.
        with_cp (bool): Whether to save memory by computing the branches of
            blocks again in the backward pass. Defaults to False.
        zero_init_residual (bool): Whether the last norm of every branch starts
            with weight 0. Defaults to True.
        drop_path_rate (float): Probability to drop the branch of the last
            block; it grows linearly from 0 at the first. Defaults to 0.
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

    default_init_cfg = [
        dict(type='Kaiming', layer='Conv2d'),
        dict(type='Constant', val=1, layer=['_BatchNorm', 'GroupNorm']),
    ]

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
        super().__init__(init_cfg or self.default_init_cfg)
        if depth not in self.arch_settings:
            raise ValueError(f'depth must be one of {sorted(self.arch_settings)}, got {depth!r}')
        if stem_channels is None:
            stem_channels = base_channels
        for name, value in dict(
            in_channels=in_channels,
            base_channels=base_channels,
            stem_channels=stem_channels,
            num_stages=num_stages,
        ).items():
            check_positive_int(name, value)
        self.depth = depth
        self.num_stages = num_stages
        self.strides = tuple(strides)
        self.dilations = tuple(dilations)
        self.out_indices = (num_stages - 1,) if out_indices is None else tuple(out_indices)
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self._check_stages()
        if style not in ('pytorch', 'caffe'):
            raise ValueError(f"style must be 'pytorch' or 'caffe', got {style!r}")
        if not 0 <= drop_path_rate < 1:
            raise ValueError(f'drop_path_rate must be in [0, 1), got {drop_path_rate}')

        self.block, stage_blocks = self.arch_settings[depth]
        self.stage_blocks = stage_blocks[:num_stages]
        self._make_stem(in_channels, stem_channels, small_stem, conv_cfg, norm_cfg, act_cfg)
        blocks = self._make_blocks(
            stem_channels,
            base_channels,
            drop_path_rate,
            style=style,
            with_cp=with_cp,
            conv_cfg=conv_cfg,
            norm_cfg=norm_cfg,
            act_cfg=act_cfg,
            zero_init_residual=zero_init_residual,
        )
        self._make_stages(
            blocks,
            PLAIN if interaction is None else interaction,
            base_channels,
            # Norms of interactions learn even where those of a pretrained trunk do not.
            norm_cfg=dict(norm_cfg, requires_grad=True),
            act_cfg=act_cfg,
        )
        self._trained_interactions: List[LayerInteraction] = []
        self._freeze_stages()

    def _check_stages(self) -> None:
        """Check the arguments that have to fit the number of stages."""
        if self.num_stages > 4:
            raise ValueError(f'num_stages must be in 1 ... 4, got {self.num_stages}')
        for name in ('strides', 'dilations'):
            value = getattr(self, name)
            if len(value) != self.num_stages:
                raise ValueError(
                    f'{name} must have one entry for each of the {self.num_stages} stages, '
                    f'got {value}'
                )
            for entry in value:
                check_positive_int(f'every entry of {name}', entry)
        allowed = range(self.num_stages)
        if not self.out_indices or any(i not in allowed for i in self.out_indices):
            raise ValueError(
                f'out_indices must be stages in 0 ... {self.num_stages - 1}, got {self.out_indices}'
            )
        if self.frozen_stages not in range(-1, self.num_stages + 1):
            raise ValueError(
                f'frozen_stages must be in -1 ... {self.num_stages}, got {self.frozen_stages!r}'
            )

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
        self, in_channels: int, base_channels: int, drop_path_rate: float, **kwargs
    ) -> List[List[ResidualBlock]]:
        """Build the blocks of all stages."""
        rates = iter(np.linspace(0, drop_path_rate, sum(self.stage_blocks)).tolist())
        stages = []
        for i, num_blocks in enumerate(self.stage_blocks):
            out_channels = base_channels * self.block.expansion * 2**i
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

    def _make_stages(
        self,
        blocks: List[List[ResidualBlock]],
        interaction: dict,
        base_channels: int,
        **kwargs,
    ) -> None:
        """Join the blocks of each stage by its own or by one common interaction."""
        channels = [base_channels * self.block.expansion * 2**i for i in range(self.num_stages)]
        self.interaction = None
        if interaction_class(interaction).scope == 'network':
            self.interaction = build_interaction(interaction, channels, self.stage_blocks, **kwargs)
            first = accumulate(self.stage_blocks, initial=0)
            stages = [Stage(b, first_index=i) for b, i in zip(blocks, first)]
        else:
            stages = [
                Stage(b, build_interaction(interaction, c, len(b), **kwargs))
                for b, c in zip(blocks, channels)
            ]
        for i, stage in enumerate(stages, 1):
            self.add_module(f'layer{i}', stage)

    def stages(self) -> List[Stage]:
        """The stages in their order."""
        return [getattr(self, f'layer{i + 1}') for i in range(self.num_stages)]

    def interactions(self) -> List[LayerInteraction]:
        """The interactions, one a stage or one in all."""
        return [m for m in self.modules() if isinstance(m, LayerInteraction)]

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Compute the feature maps.

        Args:
            x (Tensor): Images of shape (N, in_channels, H, W).

        Returns:
            Tuple[Tensor]: A map of shape (N, C_i, H / s_i, W / s_i), rounded
            up, for each stage i of ``out_indices``.

        Raises:
            ValueError: If the images are smaller than the network's stride.
        """
        if min(x.shape[-2:]) < self.stride:
            raise ValueError(
                f'images must be at least as large as the stride of the network, {self.stride}, '
                f'got {tuple(x.shape[-2:])}; small_stem=True divides the stride by 4'
            )
        x = self.maxpool(self.act(self.norm1(self.conv1(x))))
        state = None
        outputs = []
        for i, stage in enumerate(self.stages()):
            x, state = stage(x, state, self.interaction)
            if i in self.out_indices:
                outputs.append(x)
        return tuple(outputs)

    @property
    def norm1(self) -> nn.Module:
        """The norm of the stem."""
        return getattr(self, self.norm1_name)

    def init_weights(self) -> None:
        """Initialize the weights, then load the pretrained ones.

        Raises:
            ValueError: If the pretrained weights do not fit the trunk.
        """
        cfgs = [self.init_cfg] if isinstance(self.init_cfg, dict) else self.init_cfg
        pretrained = [c for c in cfgs if c['type'] in ('Pretrained', PretrainedInit)]
        self.init_cfg = [c for c in cfgs if c not in pretrained]
        super().init_weights()
        self.init_cfg = cfgs
        for cfg in pretrained:
            loaded = load_pretrained(self, **{k: v for k, v in cfg.items() if k != 'type'})
            self._trained_interactions = [
                module
                for name, module in self.named_modules()
                if isinstance(module, LayerInteraction)
                and all(f'{name}.{key}' in loaded for key in module.state_dict())
            ]
        # Checkpoints that are resumed later do not change what is frozen.
        self._freeze_stages()

    def train(self, mode: bool = True) -> 'ResNet':
        """Switch to training mode, but for what is frozen.

        Args:
            mode (bool): Training or evaluation. Defaults to True.

        Returns:
            ResNet: This module.
        """
        super().train(mode)
        self._freeze_stages()
        if mode and self.norm_eval:
            fresh = [i for i in self.interactions() if i not in self._trained_interactions]
            learning = {m for interaction in fresh for m in interaction.modules()}
            for module in self.modules():
                if isinstance(module, _BatchNorm) and module not in learning:
                    module.eval()
        return self

    def _frozen_modules(self) -> Iterator[nn.Module]:
        if self.frozen_stages >= 0:
            yield from (self.conv1, self.norm1)
        for stage in self.stages()[: max(self.frozen_stages, 0)]:
            yield from stage.blocks()
            if stage.interaction in self._trained_interactions:
                yield stage.interaction
        if self.frozen_stages == self.num_stages and self.interaction in self._trained_interactions:
            yield self.interaction

    def _freeze_stages(self) -> None:
        for module in self._frozen_modules():
            module.eval()
            module.requires_grad_(False)

    def get_layer_depth(self, param_name: str, prefix: str = '') -> Tuple[int, int]:
        """Depth of a parameter, for layer-wise decay of the learning rate.

        Blocks are grouped as in MMPretrain: stages 1 and 4 are one layer each,
        stage 2 has a layer every 2 blocks, stage 3 every 3 (4 and 4 at depth
        152). An interaction has the depth of the end of its stage, the
        network-wide one that of the last stage.

        Args:
            param_name (str): Name of the parameter.
            prefix (str): What precedes the backbone's names, such as
                ``'backbone.'``. Defaults to ''.

        Returns:
            Tuple[int, int]: Depth of the parameter, from 0 at the stem, and
            the number of depths, the last of which is for heads.
        """
        steps = (None, 4, 4, None) if self.stage_blocks[1:2] == (8,) else (None, 2, 3, None)
        layers = [ceil(n / (step or n)) for n, step in zip(self.stage_blocks, steps)]
        last = sum(layers)
        if not param_name.startswith(prefix):
            return last + 1, last + 2
        parts = param_name[len(prefix) :].split('.')
        if parts[0] == 'interaction':
            return last, last + 2
        if not parts[0].startswith('layer'):
            return 0, last + 2
        stage = int(parts[0].removeprefix('layer')) - 1
        before = sum(layers[:stage])
        if parts[1] == 'interaction':
            return before + layers[stage], last + 2
        step = steps[stage] or self.stage_blocks[stage]
        return before + int(parts[1]) // step + 1, last + 2
