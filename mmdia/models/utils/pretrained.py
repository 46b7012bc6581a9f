"""Loading of pretrained weights into a backbone, with nothing lost in silence."""

from typing import Dict, Optional, Set

from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from .trunk_names import our_trunk_names

State = Dict[str, Tensor]


def interaction_of(key: str) -> str:
    """Name of the layer interaction that a key of a backbone belongs to, or ''."""
    before, found, _ = f'.{key}'.partition('.interaction.')
    return f'{before}.interaction'.lstrip('.') if found else ''


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
        ValueError: If a weight of the trunk or of a partly present
            interaction is missing, or any has another shape; the backbone is
            then unchanged.
    """
    own = backbone.state_dict()
    state = our_trunk_names(read_backbone_state(checkpoint, prefix, map_location), set(own))
    loaded = own.keys() & state.keys()
    # The trunk is needed, and every interaction of which there is a part.
    present = {'', *map(interaction_of, loaded)}
    needed = {k for k in own if interaction_of(k) in present and 'num_batches_tracked' not in k}

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
    fresh = [k for k in own if interaction_of(k) not in present]
    print_log(
        f'{checkpoint}: loaded {len(loaded)} of {len(own)} weights; '
        f'{len(fresh)} weights of interactions keep their initialisation; '
        f'unused: {sorted(state.keys() - own.keys()) or "none"}',
        logger='current',
    )
    return loaded
