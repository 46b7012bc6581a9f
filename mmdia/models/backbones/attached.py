"""Blocks and stages in the place of those of another library, whose layers they use."""

from itertools import chain
from typing import Optional, Sequence, Tuple

from torch import Tensor, nn

from ..interactions import LayerInteraction
from ..utils.eager import is_watched
from .blocks import ResidualBlock
from .stage import Stage

# The blocks whose computation is known, by the ``forward`` that they have or inherit.
FORWARDS = (
    'torchvision.models.resnet.BasicBlock',
    'torchvision.models.resnet.Bottleneck',
    'timm.models.resnet.BasicBlock',
    'timm.models.resnet.Bottleneck',
    'mmpretrain.models.backbones.resnet.BasicBlock',
    'mmpretrain.models.backbones.resnet.Bottleneck',
    'mmpretrain.models.backbones.seresnet.SEBottleneck',
    'mmdet.models.backbones.resnet.BasicBlock',
    'mmdet.models.backbones.resnet.Bottleneck',
    'mmseg.models.backbones.resnet.BasicBlock',
    'mmseg.models.backbones.resnet.Bottleneck',
)
LIBRARIES = 'torchvision, timm, MMPretrain, MMDetection or MMSegmentation'
ACTIVATIONS = ('relu', 'act1', 'act2', 'act3')


def is_known(block: nn.Module) -> bool:
    """Whether a module is a residual block that can be replaced."""
    forward = type(block).forward
    return f'{forward.__module__}.{forward.__qualname__}'.removesuffix('.forward') in FORWARDS


def is_layer(module: Optional[nn.Module]) -> bool:
    """Whether an optional layer is there and does something."""
    return module is not None and type(module) is not nn.Identity


def activations(block: nn.Module) -> Tuple[nn.Module, ...]:
    """The activations of another library's block."""
    return tuple(getattr(block, name) for name in ACTIVATIONS if hasattr(block, name))


def check_unwatched(name: str, module: nn.Module) -> None:
    """Check that nothing is lost when another module takes the place of one.

    Args:
        name (str): Its name.
        module (nn.Module): The module.

    Raises:
        ValueError: If it has hooks, or its ``forward`` is patched or compiled.
    """
    compiled = getattr(module, '_compiled_call_impl', None)  # by module.compile()
    if is_watched(module) or compiled is not None:
        raise ValueError(
            f'{name} has hooks or a patched or compiled forward, which would be lost: remove them '
            'first, and add them again afterwards'
        )


class AttachedBlock(ResidualBlock):
    """The two halves of another library's block, computed by its own layers.

    The layers keep their names, and with them the weights.

    Args:
        name (str): Name of the block, for messages.
        block (nn.Module): A block of one of the :data:`LIBRARIES`.
        with_cp (bool): Whether to compute the branch again in the backward
            pass; a block that does so already goes on. Defaults to False.

    Raises:
        ValueError: If the block is of another kind, has a layer that has no
            place here, or is watched by hooks.
    """

    def __init__(self, name: str, block: nn.Module, with_cp: bool = False) -> None:
        # Not that of ResidualBlock, which builds the layers that are given here.
        super(ResidualBlock, self).__init__(getattr(block, 'init_cfg', None))
        if not is_known(block):
            kind = type(block)
            raise ValueError(
                f'{name} must be a block of a ResNet of {LIBRARIES}, '
                f'got a {kind.__module__}.{kind.__qualname__}'
            )
        check_unwatched(name, block)
        for part in ACTIVATIONS:  # of which one takes the place of all
            if hasattr(block, part):
                check_unwatched(f'{name}.{part}', getattr(block, part))
        self.num_convs = 3 if hasattr(block, 'conv3') else 2
        self.norm_names = []
        for i in range(1, self.num_convs + 1):
            conv = getattr(block, f'conv{i}')
            if not hasattr(conv, 'out_channels'):
                raise ValueError(
                    f'{name}.conv{i} must be a convolution, got a {type(conv).__name__}: attach '
                    'the interaction first, and replace layers afterwards'
                )
            norm = getattr(block, f'norm{i}_name', f'bn{i}')
            self.norm_names.append(norm)
            self.add_module(f'conv{i}', conv)
            self.add_module(norm, getattr(block, norm))
        self.plugin_names = self._take_plugins(block)
        self.act = activations(block)[0]
        self.dropout = nn.Identity().train(block.training)
        self.drop_path = getattr(block, 'drop_path', None) or self.dropout
        self.downsample = block.downsample
        for child, layer in block.named_children():
            if child not in self._modules and child not in ACTIVATIONS and is_layer(layer):
                raise ValueError(
                    f'{name} must have no layer {child!r}, got a {type(layer).__name__}: '
                    'it has no place in a block whose halves an interaction joins'
                )
        self.in_channels = self.conv1.in_channels
        self.out_channels = getattr(self, f'conv{self.num_convs}').out_channels
        self.stride = block.stride
        self.conv_cfg = getattr(block, 'conv_cfg', None)
        self.skip_connections = self.normalize = True
        self.with_cp = with_cp or getattr(block, 'with_cp', False)
        self.with_recipe = False
        self.training = block.training

    def _take_plugins(self, block: nn.Module) -> Tuple[Tuple[str, ...], ...]:
        """Add what else the branch has; returns the names, by the convolution they follow."""
        names = [
            list(getattr(block, f'after_conv{i + 1}_plugin_names', ()))  # of MMDetection and others
            for i in range(self.num_convs)
        ]
        names[-2].append('aa')  # the anti-aliasing of timm
        names[-1] += ['se', 'se_layer']  # the attentions of timm, and of MMPretrain
        present = [[n for n in group if is_layer(getattr(block, n, None))] for group in names]
        for name in chain(*present):
            self.add_module(name, getattr(block, name))
        return tuple(map(tuple, present))

    def forward(self, x: Tensor, feed: Optional[Tensor] = None) -> Tuple[Tensor, Tensor]:
        """See :meth:`ResidualBlock.forward`.

        Raises:
            TypeError: If blocks are called one after another, without what
                joins their halves.
        """
        if isinstance(x, tuple):
            raise TypeError(
                'blocks with an interaction cannot be called one by one, as the checkpoints of '
                'timm do: use attach(..., with_cp=True) in their place'
            )
        return super().forward(x, feed)

    def give_back(self, block: nn.Module) -> None:
        """Let the block that this one replaced have the layers as they are now."""
        for name, layer in self.named_children():
            if name in block._modules:
                setattr(block, name, layer)
        block.training = self.training


class AttachedStage(Stage):
    """A stage in the place of another library's: takes a map, and returns a map.

    The state of an interaction that all stages share goes from stage to stage
    with the map, as an attribute of the tensor.

    Args:
        original (nn.Module): The stage that it replaces.
        blocks (Sequence[AttachedBlock]): See :class:`Stage`.
        interaction (LayerInteraction, optional): See :class:`Stage`.
        backbone (nn.Module, optional): What has the ``interaction`` that all
            stages share, where this one has none of its own. Defaults to None.
        first_index (int): See :class:`Stage`. Defaults to 0.
    """

    def __init__(
        self,
        original: nn.Module,
        blocks: Sequence[AttachedBlock],
        interaction: Optional[LayerInteraction] = None,
        backbone: Optional[nn.Module] = None,
        first_index: int = 0,
    ) -> None:
        super().__init__(blocks, interaction, first_index)
        # In a tuple, they are no children: their weights have names elsewhere.
        self.replaced = (original, backbone)
        self.training = original.training
        self.outputs.train(self.training)
        for block in blocks:
            block.with_recipe = (interaction or backbone.interaction).uses_recipe

    def forward(self, x: Tensor) -> Tensor:
        """Run all blocks.

        Args:
            x (Tensor): Input of shape (N, C_in, H, W).

        Returns:
            Tensor: Output of shape (N, C_out, H // stride, W // stride),
            rounded up.

        Raises:
            RuntimeError: If the output of the stage before has not come here
                as it was.
        """
        _, backbone = self.replaced
        if backbone is None:
            return super().forward(x)
        shared = backbone.interaction
        if self.first_index and not hasattr(x, 'layer_state'):
            raise RuntimeError(
                'the state of an interaction that all stages share goes with the output of each '
                'stage, which something has replaced, such as a hook or a reentrant checkpoint: '
                "use a backbone of mmdia, such as 'mmdia.ResNet'"
            )
        x, state = super().forward(x, x.layer_state if self.first_index else None, shared)
        if self.first_index + self.num_blocks == sum(shared.num_blocks):
            return shared.finish(x, state)
        x.layer_state = state
        return x

    def give_back(self) -> nn.Module:
        """The stage that this one replaced, with the layers as they are now."""
        original, _ = self.replaced
        for ours, block in zip(self, original):
            ours.give_back(block)
        original.training = self.training
        return original
