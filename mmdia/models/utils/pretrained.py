"""Loading of pretrained weights into a backbone, with nothing lost in silence."""

from typing import Dict, Optional, Set

from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

State = Dict[str, Tensor]


def is_interaction_key(key: str) -> bool:
    """Whether a key of a backbone's state dict belongs to a layer interaction."""
    return 'interaction' in key.split('.')


def strip_prefix(state: State, prefix: str) -> State:
    """The part of a state dict below a prefix, without the prefix."""
    return {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}


def read_backbone_state(
    checkpoint: str, prefix: Optional[str] = None, map_location: str = 'cpu'
) -> State:
    """Read a backbone's state dict from a checkpoint of any OpenMMLab library.

    Args:
        checkpoint (str): Path, URL or any other address that MMEngine's
            ``CheckpointLoader`` knows, such as ``torchvision://resnet50``.
        prefix (str, optional): Prefix of the backbone's keys. By default
            ``backbone.`` where the checkpoint has such keys, else none.
        map_location (str): Device to load to. Defaults to ``'cpu'``.

    Returns:
        Dict[str, Tensor]: Weights by their names in the backbone.

    Raises:
        ValueError: If no key starts with ``prefix``.
    """
    content = CheckpointLoader.load_checkpoint(checkpoint, map_location, logger='current')
    state = content.get('state_dict', content)
    state = {k.removeprefix('module.'): v for k, v in state.items()}
    if prefix is None:
        return strip_prefix(state, 'backbone.') or state
    prefix = prefix.rstrip('.') + '.'
    stripped = strip_prefix(state, prefix)
    if not stripped:
        raise ValueError(f'prefix {prefix!r} fits no key of checkpoint {checkpoint}')
    return stripped


def load_pretrained(
    backbone: nn.Module,
    checkpoint: str,
    prefix: Optional[str] = None,
    map_location: str = 'cpu',
) -> Set[str]:
    """Load pretrained weights into a backbone.

    The trunk has to be complete. Interactions need not be in the checkpoint:
    those of a plain ResNet are not, and then keep their initialisation.

    Args:
        backbone (nn.Module): The backbone to load into.
        checkpoint (str): See :func:`read_backbone_state`.
        prefix (str, optional): See :func:`read_backbone_state`.
        map_location (str): Device to load to. Defaults to ``'cpu'``.

    Returns:
        Set[str]: The names that were loaded.

    Raises:
        ValueError: If a trunk weight is missing or any weight has another
            shape; the backbone is then unchanged.
    """
    state = read_backbone_state(checkpoint, prefix, map_location)
    own = backbone.state_dict()
    needed = {k for k in own if not is_interaction_key(k) and not k.endswith('num_batches_tracked')}
    loaded = own.keys() & state.keys()

    problems = [f'{k}: missing' for k in sorted(needed - loaded)]
    problems += [
        f'{k}: {tuple(state[k].shape)} in the checkpoint, {tuple(own[k].shape)} in the model'
        for k in sorted(loaded)
        if state[k].shape != own[k].shape
    ]
    if problems:
        shown = '\n  '.join(problems[:10] + ['...'] * (len(problems) > 10))
        raise ValueError(f'checkpoint {checkpoint} does not fit the backbone:\n  {shown}')

    backbone.load_state_dict({k: state[k] for k in loaded}, strict=False)
    fresh = sorted(k for k in own if is_interaction_key(k) and k not in loaded)
    print_log(
        f'{checkpoint}: loaded {len(loaded)} of {len(own)} weights; '
        f'{len(fresh)} weights of interactions keep their initialisation; '
        f'unused: {sorted(state.keys() - own.keys()) or "none"}',
        logger='current',
    )
    return loaded
