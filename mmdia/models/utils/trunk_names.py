"""Names that other libraries give to the weights of a trunk."""

import re
from typing import Dict, Set

from torch import Tensor

# Three convolutions, each with norm and activation, in one sequence: conv1.0, conv1.1, conv1.3,
# ... and bn1 for the last norm in timm; stem.0, stem.1, stem.3, ..., stem.7 in MMDetection.
FLAT_STEM = re.compile(r'(?:conv1|stem)\.(\d)\.(\w+)')
PROJECTION = re.compile(r'(.+\.downsample\.)(\d)\.(\w+)')


def stem_name(key: str) -> str:
    """Our name, which is MMPretrain's, for a weight of a deep stem of timm or MMDetection."""
    if key.startswith('bn1.'):
        return f'stem.2.bn.{key.removeprefix("bn1.")}'
    flat = FLAT_STEM.fullmatch(key)
    if flat is None:
        return key
    position, name = flat.groups()
    conv, part = divmod(int(position), 3)
    return f'stem.{conv}.{("conv", "bn")[part]}.{name}'


def our_trunk_names(state: Dict[str, Tensor], own: Set[str]) -> Dict[str, Tensor]:
    """Rename the trunk's weights that timm and MMDetection call otherwise.

    These are the deep stem of ResNet-V1c and -V1d, and the projections of V1d
    that have nothing to pool, where those libraries count a pooling all the
    same. All other names are torchvision's everywhere.

    Args:
        state (Dict[str, Tensor]): Weights by their names in a checkpoint.
        own (Set[str]): Names in our model.

    Returns:
        Dict[str, Tensor]: Weights by the names in our model, as far as known.
    """
    deep_stem = 'stem.0.conv.weight' in own and 'stem.0.conv.weight' not in state
    pools = any(key.endswith('.downsample.2.weight') for key in own)
    renamed = {}
    for key, value in state.items():
        projection = PROJECTION.fullmatch(key)
        if deep_stem and key.startswith(('conv1.', 'stem.', 'bn1.')):
            key = stem_name(key)
        elif pools and projection:
            block, position, name = projection.groups()
            if f'{block}2.weight' in state and f'{block}2.weight' not in own:
                key = f'{block}{int(position) - 1}.{name}'
        renamed[key] = value
    return renamed
