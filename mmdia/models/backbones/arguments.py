"""Checks of the arguments of residual networks."""

from functools import partial
from inspect import signature
from itertools import chain
from typing import Any, Dict, List, Optional, Sequence, Union

from mmdia.utils import (
    check_bool,
    check_bools,
    check_choice,
    check_int,
    check_ints,
    check_layer_cfg,
    check_rate,
)
from mmdia.utils.validation import LARGEST, is_int, is_sequence, refuse

from ..interactions import interaction_class
from .blocks import Bottleneck
from .plugins import check_plugins

CHECKS = dict(
    base_channels=check_int,
    expansion=check_int,
    in_channels=check_int,
    stem_channels=check_int,
    groups=check_int,
    base_width=check_int,
    style=partial(check_choice, choices=('pytorch', 'caffe')),
    drop_rate=check_rate,
    drop_path_rate=check_rate,
    conv_cfg=partial(check_layer_cfg, optional=True),
    norm_cfg=check_layer_cfg,
    act_cfg=check_layer_cfg,
    dcn=partial(check_layer_cfg, optional=True),
    small_stem=check_bool,
    deep_stem=check_bool,
    avg_down=check_bool,
    project_first=check_bool,
    skip_connections=check_bool,
    normalize=check_bool,
    normalize_projections=check_bool,
    with_cp=check_bool,
    zero_init_residual=check_bool,
)


def refuse_arguments(network: str, names: Sequence[str], interaction: Optional[dict]) -> None:
    """Say what to write where arguments that a network has not may be those of its interaction.

    Args:
        network (str): Name of the network.
        names (Sequence[str]): The arguments.
        interaction (dict, optional): Config of the network's interaction.

    Raises:
        TypeError: Always.
    """
    message = f'{network} has no argument {", ".join(map(repr, names))}'
    if interaction is not None:
        classes = interaction_class(interaction).__mro__[:-1]
        theirs = {name for kind in classes for name in signature(kind).parameters}
        if theirs.issuperset(names):
            given = ', '.join(f'{name}=...' for name in names)
            message += f', but its interaction {interaction["type"]} has: interaction=dict({given})'
    raise TypeError(message)


def check_arguments(given: Dict[str, Any]) -> None:
    """Check the arguments of :class:`ResidualNetwork`, each for itself and together.

    Args:
        given (Dict[str, Any]): The arguments by their names, with defaults that
            depend on others in the place of None.

    Raises:
        TypeError: If an argument is of a wrong type.
        ValueError: If an argument has a value that is not allowed.
    """
    block, num_stages, normalize = given['block'], given['num_stages'], given['normalize']
    check_ints('strides', given['strides'], length=num_stages)
    block_dilations(given['dilations'], given['stage_blocks'])
    for name, check in CHECKS.items():
        check(name, given[name])
    check_bools('stage_with_dcn', given['stage_with_dcn'], num_stages)
    check_plugins(given['plugins'], num_stages)
    given = dict(given, plugins=given['plugins'] or None)
    if not issubclass(block, Bottleneck):
        check_without_bottlenecks(given)
    if block.preactivation:
        check_preactivation(given)
    if given['dcn'] is not None:
        check_dcn(given)
    if given['zero_init_residual'] and (block.preactivation or not normalize):
        raise ValueError(
            'zero_init_residual=True needs branches that end with a norm, '
            f'got normalize={normalize} with {block.__name__}'
        )
    if given['small_stem'] and given['deep_stem']:
        raise ValueError('small_stem and deep_stem must not both be True')


def block_dilations(
    dilations: Sequence[Union[int, Sequence[int]]], stage_blocks: Sequence[int]
) -> List[List[int]]:
    """The dilations of all blocks, by stage.

    Args:
        dilations (Sequence[int | Sequence[int]]): Dilation of each stage, or
            of each of its blocks.
        stage_blocks (Sequence[int]): Number of blocks of each stage.

    Raises:
        TypeError: If ``dilations`` is no such sequence.
        ValueError: If there are too few or too many, or one is not positive.
    """
    number = len(stage_blocks)
    what = f'{number} integers in 1 ... {LARGEST}, or sequences of one for each block'
    if not is_sequence(dilations):
        refuse(TypeError, 'dilations', what, dilations)
    stages = [[*d] if is_sequence(d) else [d] * n for d, n in zip(dilations, stage_blocks)]
    if not all(map(is_int, chain(*stages))):
        refuse(TypeError, 'dilations', what, dilations)
    fits = len(dilations) == number and [*map(len, stages)] == [*stage_blocks]
    if not (fits and all(1 <= dilation <= LARGEST for dilation in chain(*stages))):
        refuse(ValueError, 'dilations', what, dilations)
    return stages


def check_without_bottlenecks(given: Dict[str, Any]) -> None:
    """Check arguments that only bottlenecks have.

    Raises:
        ValueError: If one has another value than the only one that is allowed.
    """
    allowed = dict(groups=1, base_width=given['base_channels'], expansion=1, dcn=None, plugins=None)
    for name, value in allowed.items():
        if given[name] != value:
            raise ValueError(
                f'{name} needs blocks with bottlenecks, '
                f'got {given[name]!r} with {given["block"].__name__}'
            )


def check_preactivation(given: Dict[str, Any]) -> None:
    """Check arguments that pre-activation networks do not have.

    Raises:
        ValueError: If one has another value than the only one that is allowed.
    """
    for name, allowed, reason in (
        ('normalize', True, ''),
        ('normalize_projections', True, ': their projections have no norms'),
        ('deep_stem', False, ''),
        ('plugins', None, ': interaction takes attentions'),
    ):
        if given[name] != allowed:
            raise ValueError(
                f'{name} must be {allowed} in pre-activation networks, got {given[name]!r}{reason}'
            )


def check_dcn(given: Dict[str, Any]) -> None:
    """Check what deformable convolutions need.

    Raises:
        ValueError: If there is also a config of other convolutions, or ``dcn``
            asks for plain ones.
    """
    if given['conv_cfg'] is not None:
        raise ValueError(f'conv_cfg must be None with dcn, got {given["conv_cfg"]!r}')
    if given['dcn'].get('fallback_on_stride'):
        raise ValueError(
            'fallback_on_stride of dcn must be False, got True: '
            'stage_with_dcn says which stages have deformable convolutions'
        )
