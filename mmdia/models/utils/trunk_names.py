"""Names that other libraries give to the weights of a backbone."""

import re
from typing import Mapping

import torch
from torch import Tensor

State = Mapping[str, Tensor]

# Three convolutions, each with norm and activation, in one sequence: conv1.0, conv1.1, conv1.3,
# ... and bn1 for the last norm in timm; stem.0, stem.1, stem.3, ..., stem.7 in MMDetection.
FLAT_STEM = re.compile(r'(?:conv1|stem)\.(\d)\.(\w+)')
PROJECTION = re.compile(r'(.+\.downsample\.)(\d)\.(\w+)')
# Attentions in blocks, and what they are called within an interaction with one per block.
ATTENTIONS = {
    r'se_layer\.conv1\.conv': 'mlp.0',  # SE of MMPretrain
    r'se_layer\.conv2\.conv': 'mlp.2',
    r'se\.fc1': 'mlp.0',  # SE of timm
    r'se\.fc2': 'mlp.2',
    r'se\.fc\.0': 'mlp.0',  # SE of most authors
    r'se\.fc\.2': 'mlp.2',
    r'(?:se|eca)\.conv': 'conv',  # ECA of timm and of its authors
    r'context_block\.(.+)': r'block.\3',  # GC of MMDetection
}
IN_BLOCK = {
    rf'(layer\d+)\.(\d+)\.{theirs}\.(?P<name>weight|bias)': (
        rf'\1.interaction.attentions.\2.{ours}.\g<name>'
    )
    for theirs, ours in ATTENTIONS.items()
}


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


def attention_name(key: str) -> str:
    """Our name for a weight of an attention in a block, or the name as it is."""
    for theirs, ours in IN_BLOCK.items():
        match = re.fullmatch(theirs, key)
        if match:
            return match.expand(ours)
    return key


def our_names(state: State, own: State) -> State:
    """Rename the weights that other libraries call otherwise.

    In the trunk these are the deep stem of ResNet-V1c and -V1d, and the
    projections of V1d that have nothing to pool, where timm and MMDetection
    count a pooling all the same. All other names are torchvision's everywhere.
    Attentions in blocks become those of an interaction, whose scale is then 1;
    what is a 1x1 convolution elsewhere may be a linear layer here.

    Args:
        state (Dict[str, Tensor]): Weights by their names in a checkpoint.
        own (Dict[str, Tensor]): The weights of our model.

    Returns:
        Dict[str, Tensor]: Weights by the names in our model, as far as known.
    """
    deep_stem = 'stem.0.conv.weight' in own and 'stem.0.conv.weight' not in state
    pools = any('.downsample.2.' in key for key in own)
    renamed = {}
    for key, value in state.items():
        projection = PROJECTION.fullmatch(key) if pools else None
        if projection:
            block, position, name = projection.groups()
            if f'{block}2.weight' in state and f'{block}2.weight' not in own:
                key = f'{block}{int(position) - 1}.{name}'
        elif key in own:
            pass
        elif deep_stem and key.startswith(('conv1.', 'stem.', 'bn1.')):
            key = stem_name(key)
        elif attention_name(key) in own:
            key = attention_name(key)
            scale = f'{key.partition(".attentions.")[0]}.gate_scale'
            if scale in own and scale not in state:
                renamed[scale] = torch.ones(())
            if value.dim() == 4 and own[key].dim() == 2:
                value = value.flatten(1)
        renamed[key] = value
    return renamed
