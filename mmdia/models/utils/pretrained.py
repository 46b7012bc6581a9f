"""Loading of pretrained weights into a backbone, with nothing lost in silence."""

import logging
import re
from collections import Counter
from math import ceil
from typing import Any, Dict, Iterable, Optional, Sequence, Set

from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from mmdia.checkpoints.loader import check_content, weights_in

from .trunk_names import our_names

State = Dict[str, Tensor]
FIRST_CONVS = ('conv1.weight', 'stem.0.conv.weight')
IN_BLOCK = re.compile(r'layer\d+\.\d+\.')


def read_checkpoint(
    checkpoint: str, map_location: str = 'cpu', logger: str = 'current'
) -> Dict[str, Any]:
    """Read a checkpoint file from wherever it is.

    Args:
        checkpoint (str): Path, URL or any other address that MMEngine's
            ``CheckpointLoader`` knows, such as ``torchvision://resnet50``.
        map_location (str): Device to load to. Defaults to ``'cpu'``.
        logger (str): Which logger says so. Defaults to ``'current'``.

    Raises:
        OSError: If there is no such file, or it cannot be opened.
        ValueError: If the file is truncated or not a checkpoint.
    """
    checkpoint = str(checkpoint)
    try:
        content = CheckpointLoader.load_checkpoint(checkpoint, map_location, logger=logger)
    except (OSError, ValueError, ImportError):
        raise
    except Exception as error:  # damaged files fail in every way
        reason = str(error).partition('\n')[0]
        raise ValueError(
            f'checkpoint {checkpoint} is truncated or not a checkpoint: {reason}'
        ) from error
    check_content(content, checkpoint)
    return content


def strip_prefix(state: State, prefix: str) -> State:
    """The part of a state dict below a prefix, without the prefix."""
    return {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}


def read_backbone_state(
    checkpoint: str, prefix: Optional[str] = None, map_location: str = 'cpu'
) -> State:
    """Read a backbone's state dict from a checkpoint of any OpenMMLab library.

    Args:
        checkpoint (str): See :func:`read_checkpoint`.
        prefix (str, optional): Prefix of the backbone's keys. By default
            ``backbone.`` where the checkpoint has such keys, else none.
        map_location (str): Device to load to. Defaults to ``'cpu'``.

    Returns:
        Dict[str, Tensor]: Weights by their names in the backbone.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not a checkpoint or no key starts with
            ``prefix``.
    """
    given = weights_in(read_checkpoint(checkpoint, map_location))
    given = {k: v for k, v in given.items() if isinstance(v, Tensor)}
    if not given:
        raise ValueError(f'checkpoint {checkpoint} holds no state dict')
    state = {k.removeprefix('module.'): v for k, v in given.items()}
    if prefix is None:
        return strip_prefix(state, 'backbone.') or state
    prefix = prefix.rstrip('.') + '.'
    # A prefix may itself begin with that of DataParallel.
    stripped = strip_prefix(state, prefix) or strip_prefix(given, prefix)
    if not stripped:
        raise ValueError(f'prefix {prefix!r} fits no key of checkpoint {checkpoint}')
    return stripped


def loading_report(loaded: Set[str], own: Iterable[str], given: Iterable[str]) -> str:
    """A table of what was loaded, missing and unexpected, by groups of weights.

    Args:
        loaded (Set[str]): Names that were loaded.
        own (Iterable[str]): Names in the model.
        given (Iterable[str]): Names in the checkpoint.

    Returns:
        str: A header, a line per group, and the names of what was unexpected.
    """
    stem = {key.split('.')[0] for key in own if not key.startswith('layer')} - {'interaction'}

    def group(key: str) -> str:
        if 'interaction' in key.split('.'):
            return 'interactions'
        if key.startswith('layer'):
            return 'stages'
        return 'stem' if key.split('.')[0] in stem else 'others'

    unexpected = sorted(set(given) - set(own))
    columns = [Counter(map(group, keys)) for keys in (loaded, set(own) - loaded, unexpected)]
    lines = [f'{"":12} {"loaded":>8} {"missing":>8} {"unexpected":>10}']
    for name in ('stem', 'stages', 'interactions', 'others'):
        numbers = [column[name] for column in columns]
        if any(numbers):
            lines.append('{:12} {:8} {:8} {:10}'.format(name, *numbers))
    if unexpected:
        lines.append(f'unexpected: {", ".join(unexpected[:10])}' + ', ...' * (len(unexpected) > 10))
    return '\n'.join(lines)


def adapt_channels(weight: Tensor, channels: int) -> Tensor:
    """The weight of a first convolution for images of another number of channels.

    For one channel the sum over those that it had, else these repeated and
    scaled to the same sum, as timm does.

    Args:
        weight (Tensor): The weight, of shape (C_out, C_in, K, K).
        channels (int): The other number C of input channels.

    Returns:
        Tensor: Weight of shape (C_out, C, K, K).
    """
    given = weight.shape[1]
    if channels == 1:
        return weight.sum(1, keepdim=True)
    repeated = weight.repeat(1, ceil(channels / given), 1, 1)[:, :channels]
    return repeated * (given / channels)


def load_pretrained(
    backbone: nn.Module,
    checkpoint: str,
    prefix: Optional[str] = None,
    map_location: str = 'cpu',
    first_conv: str = 'load',
    additions: Sequence[str] = (),
) -> Set[str]:
    """Load pretrained weights into a backbone.

    The trunk has to be complete. What it has in addition to that of a plain
    checkpoint, such as interactions, need not be in the file, and then keeps
    its initialization.

    Args:
        backbone (nn.Module): The backbone to load into.
        checkpoint (str): See :func:`read_backbone_state`.
        prefix (str, optional): See :func:`read_backbone_state`.
        map_location (str): Device to load to. Defaults to ``'cpu'``.
        first_conv (str): What to do with the first convolution, if images have
            another number of channels: ``'adapt'`` sums or repeats its weights
            (:func:`adapt_channels`), ``'skip'`` leaves it as it is initialized.
            Defaults to ``'load'``, which refuses such weights.
        additions (Sequence[str]): Names of the modules that a plain checkpoint
            lacks. Defaults to none.

    Returns:
        Set[str]: The names that were loaded.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not a checkpoint, if a weight of the trunk
            or of a partly present addition is missing, or any has another
            shape; the backbone is then unchanged.
    """
    own = backbone.state_dict()
    state = our_names(read_backbone_state(checkpoint, prefix, map_location), own)
    first = next((key for key in FIRST_CONVS if key in own), None)
    if first in state and state[first].shape[1:2] != own[first].shape[1:2]:
        if first_conv == 'adapt':
            state[first] = adapt_channels(state[first], own[first].shape[1])
        elif first_conv == 'skip':
            del state[first]
            additions = (*additions, first.removesuffix('.weight'))

    def addition_of(key: str) -> str:
        return next((name for name in additions if key.startswith(f'{name}.')), '')

    loaded = own.keys() & state.keys()
    if not loaded:
        raise ValueError(
            f'checkpoint {checkpoint} is of another network, none of whose weights the backbone '
            f'has: {", ".join(list(state)[:3])}, ...'
        )
    # The trunk is needed, and every addition of which there is a part.
    present = {'', *map(addition_of, loaded)}
    needed = {k for k in own if addition_of(k) in present and 'num_batches_tracked' not in k}

    problems = [f'{k}: missing' for k in sorted(needed - loaded)]
    problems += [
        f'{k}: {tuple(state[k].shape)} in the checkpoint, {tuple(own[k].shape)} in the model'
        + (": first_conv='adapt' or 'skip' in init_cfg takes it" if k == first else '')
        for k in sorted(loaded)
        if state[k].shape != own[k].shape
    ]
    if problems:
        shown = '\n  '.join(problems[:10] + ['...'] * (len(problems) > 10))
        raise ValueError(f'checkpoint {checkpoint} does not fit the backbone:\n  {shown}')

    backbone.load_state_dict({k: state[k] for k in loaded}, strict=False)
    report = loading_report(loaded, own, state)
    print_log(
        f'{checkpoint}\n{report}\nWhat is missing keeps its initialization.', logger='current'
    )
    lost = [k for k in state if k not in own and IN_BLOCK.match(k)]
    if lost:
        print_log(
            f'{checkpoint} has weights in its blocks for which the model has no place, such as '
            f'{lost[0]}. They are left out: what was trained with them is another network',
            logger='current',
            level=logging.WARNING,
        )
    return loaded
