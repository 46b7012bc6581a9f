"""How networks of other code are described to the converters."""

from typing import Callable, Dict, NamedTuple, Tuple

from renaming import Rules
from torch import Tensor

State = Dict[str, Tensor]
# What MMDetection has around a backbone; its names are the same everywhere.
AROUND_BACKBONE = ('neck.', 'rpn_head.', 'roi_head.', 'bbox_head.', 'mask_head.')


class Network(NamedTuple):
    """A network of other code.

    Args:
        rules (Dict[str, str]): Its names and ours; see ``renaming.py``.
        backbone (Callable): Reads the config of our backbone off the weights
            by our names, less ``backbone.``.
        kept (Tuple[str]): Prefixes of names that stay as they are.
    """

    rules: Rules
    backbone: Callable[[State], dict]
    kept: Tuple[str, ...] = ()


def classifier(rules: Rules, fc: str = 'fc') -> Rules:
    """Complete the rules of a trunk: those of a classifier with one linear layer."""
    trunk = {source: f'backbone.{target}' for source, target in rules.items()}
    return {**trunk, f'{fc}.{{tensor}}': 'head.fc.{tensor}'}


def detector(rules: Rules) -> Rules:
    """Complete the rules of a trunk: those of the backbone of a detector."""
    return {f'backbone.{source}': f'backbone.{target}' for source, target in rules.items()}


def cell_rules(stage: str) -> Rules:
    """Rules of the recurrent cell that DIANet and DLA have in a stage.

    Args:
        stage (str): Template of the stage's module.
    """
    cell = 'layer{stage}.interaction.cell'
    linear = '{index}.{tensor}'
    return {
        f'{stage}.lstm.w_ih.0.seq.{linear}': f'{cell}.input_gates.{linear}',
        f'{stage}.lstm.w_hh.0.seq.{linear}': f'{cell}.hidden_gates.{linear}',
    }


def attention_rules(module: str, layer: str, norm: str, light: bool) -> Rules:
    """Rules of the layer attention that MRLA and DLA have in a block.

    Args:
        module (str): Template of the module.
        layer (str): Name of the attention within the module.
        norm (str): Template of the norm that follows.
        light (bool): Whether it is the light form, which weighs the layer
            before.
    """
    unit = 'layer{stage}.interaction.attentions.{block}'
    rules = {
        f'{module}.{layer}.Wq.{{tensor}}': f'{unit}.query.{{tensor}}',
        f'{module}.{layer}.Wk.{{tensor}}': f'{unit}.key.{{tensor}}',
        f'{module}.{layer}.Wv.{{tensor}}': f'{unit}.value.{{tensor}}',
        f'{norm}.{{tensor}}': f'{unit}.norm.{{tensor}}',
    }
    return {**rules, f'{module}.lambda_t': f'{unit}.previous_weight'} if light else rules
