"""Reading the arguments of our trunks off their weights."""

import re
from typing import Tuple

from networks import State

from mmdia.models import BasicBlock, Bottleneck, ResNet

BLOCK = re.compile(r'layer(\d)\.(\d+)\.')


def stage_blocks(state: State) -> Tuple[int, ...]:
    """Number of blocks of each stage.

    Raises:
        ValueError: If there are none.
    """
    blocks = {match.groups() for match in map(BLOCK.match, state) if match}
    if not blocks:
        raise ValueError('it has no residual blocks')
    stages = [stage for stage, _ in blocks]
    return tuple(stages.count(stage) for stage in sorted(set(stages)))


def has_bottlenecks(state: State) -> bool:
    """Whether blocks have three convolutions."""
    return 'layer1.0.conv3.weight' in state


def widths(state: State, base_channels: int) -> dict:
    """Arguments for the widths of blocks, as far as they are no defaults.

    Args:
        state (Dict[str, Tensor]): Weights by our names.
        base_channels (int): The default.
    """
    middle = state['layer1.0.conv2.weight']
    last, expansion = middle, 1
    if has_bottlenecks(state):
        last, expansion = state['layer1.0.conv3.weight'], 4
    width = len(last) // expansion
    groups = len(middle) // middle.shape[1]
    args = {} if width == base_channels else dict(base_channels=width)
    if groups > 1:
        args.update(groups=groups)
    if len(middle) // groups != width:
        args.update(base_width=len(middle) // groups)
    return args


def cifar_trunk(state: State) -> dict:
    """Config of a ``mmdia.CIFARResNet``, without its interaction."""
    convs = 9 if has_bottlenecks(state) else 6
    args = dict(type='mmdia.CIFARResNet', depth=convs * stage_blocks(state)[0] + 2)
    if not has_bottlenecks(state):
        args.update(block='basic')
    if 'layer1.0.downsample.0.weight' not in state:
        args.update(project_first=False)
    return {**args, **widths(state, 16)}


def preactivation_trunk(state: State) -> dict:
    """Config of a ``mmdia.PreResNet`` of bottlenecks, without its interaction."""
    return dict(type='mmdia.PreResNet', depth=9 * stage_blocks(state)[0] + 2)


def wide_trunk(state: State) -> dict:
    """Config of a ``mmdia.WideResNet``, without its interaction."""
    return dict(
        type='mmdia.WideResNet',
        depth=6 * stage_blocks(state)[0] + 4,
        widen_factor=len(state['layer1.0.conv1.weight']) // 16,
    )


def imagenet_trunk(state: State) -> dict:
    """Config of a ``mmdia.ResNet``, without its interaction.

    Raises:
        ValueError: If its stages are those of no depth that is known.
    """
    blocks, block = stage_blocks(state), Bottleneck if has_bottlenecks(state) else BasicBlock
    depths = [depth for depth, known in ResNet.arch_settings.items() if known == (block, blocks)]
    if not depths:
        raise ValueError(f'stages of {blocks} blocks are those of no ResNet for ImageNet')
    args = dict(type='mmdia.ResNet', depth=depths[0], **widths(state, 64))
    if 'stem.0.conv.weight' in state:
        args.update(deep_stem=True)
    return args


def any_trunk(state: State) -> dict:
    """Config of a ``mmdia.CIFARResNet`` or, with four stages, a ``mmdia.ResNet``."""
    return (imagenet_trunk if len(stage_blocks(state)) == 4 else cifar_trunk)(state)


def reduction_ratio(state: State, name: str) -> int:
    """Reduction ratio of bottlenecks of vectors: the largest that gives all widths.

    Args:
        state (Dict[str, Tensor]): Weights by our names.
        name (str): How the names of the narrow layers' weights end.
    """
    shapes = [value.shape for key, value in state.items() if key.endswith(name)]
    return min((channels // narrow for narrow, channels in shapes), default=1)


def cell_ratio(state: State) -> int:
    """Reduction ratio of recurrent cells."""
    return reduction_ratio(state, '.cell.input_gates.0.weight')
