"""Convert checkpoints of DLA's released code, tunantu/Dynamic-Layer-Attention."""

import dianet
from conversion import run_networks
from mrla import block_rules
from networks import (
    AROUND_BACKBONE,
    Network,
    Rules,
    State,
    attention_rules,
    cell_rules,
    classifier,
    detector,
)
from trunks import any_trunk, cell_ratio, cifar_trunk, reduction_ratio

STEM = {'{stem}.{tensor}': '{stem}.{tensor}'}
RESNET = {**STEM, 'layer{stage}.{block}.{layer}.{tensor}': 'layer{stage}.{block}.{layer}.{tensor}'}
SE_RESNET = {
    **RESNET,
    'layer{stage}.{block}.se.fc.{index}.{tensor}': (
        'layer{stage}.interaction.attentions.{block}.mlp.{index}.{tensor}'
    ),
}
ECA_RESNET = {
    **RESNET,
    'layer{stage}.{block}.eca.conv.{tensor}': (
        'layer{stage}.interaction.attentions.{block}.conv.{tensor}'
    ),
}


def dynamic_rules(stage: str, layer: str, light: bool, excite: str = 'excite') -> Rules:
    """Rules of a network with dynamic layer attention.

    Args:
        stage (str): Template of the stage's module.
        layer (str): Name of the attention within its module.
        light (bool): Whether the attention has its light form.
        excite (str): Name of the convolution that this form has.
    """
    attention = f'{stage}.attention.{{block}}'
    rules = {
        **STEM,
        f'{stage}.layers.{{block}}.{{layer}}.{{tensor}}': 'layer{stage}.{block}.{layer}.{tensor}',
        **attention_rules(
            f'{attention}.layer_attention', layer, f'{attention}.bn_layer_attention', light
        ),
        **cell_rules(stage),
    }
    if light:
        rules[f'{stage}.{excite}.{{tensor}}'] = 'layer{stage}.interaction.excite.{tensor}'
    return rules


def dla_l(state: State) -> dict:
    """Config of the network with DLA-L, for CIFAR or ImageNet."""
    interaction = dict(type='mmdia.DLALight', ratio=cell_ratio(state))
    return dict(any_trunk(state), interaction=interaction)


def dla_b(state: State) -> dict:
    """Config of the network with DLA-B for CIFAR."""
    interaction = dict(type='mmdia.DLABase', ratio=cell_ratio(state))
    return dict(cifar_trunk(state), interaction=interaction)


def mrla_light(state: State) -> dict:
    """Config of the network with MRLA-light for CIFAR."""
    return dict(cifar_trunk(state), interaction=dict(type='mmdia.MRLALight'))


def mrla_base(state: State) -> dict:
    """Config of the network with MRLA-base for CIFAR."""
    return dict(cifar_trunk(state), interaction=dict(type='mmdia.MRLABase'))


def senet(state: State) -> dict:
    """Config of the network with SE, for CIFAR or ImageNet."""
    attention = dict(type='mmdia.SE', ratio=reduction_ratio(state, '.mlp.0.weight'))
    if not any(key.endswith('.mlp.0.bias') for key in state):
        attention.update(bias=False)
    interaction = dict(type='mmdia.BlockAttention', attention=attention)
    return dict(any_trunk(state), interaction=interaction)


def ecanet(state: State) -> dict:
    """Config of the network with ECA, for CIFAR or ImageNet."""
    sizes = {
        value.shape[-1] for key, value in state.items() if key.endswith('attentions.0.conv.weight')
    }
    attention = dict(type='mmdia.ECA')
    if sizes == {3}:  # the default of the authors' layer, whatever the channels
        attention.update(kernel_size=3)
    interaction = dict(type='mmdia.BlockAttention', attention=attention)
    return dict(any_trunk(state), interaction=interaction)


def resnet_dlal(state: State) -> dict:
    """Config of the network with DLA-L in a detector."""
    return dict(dla_l(state), out_indices=(0, 1, 2, 3))


NETWORKS = dict(
    dla_l=Network(
        classifier(dynamic_rules('stages.{stage0}', 'layer_attention', light=True)), dla_l
    ),
    dla_b=Network(
        classifier(dynamic_rules('stages.{stage0}', 'layer_attention', light=False)), dla_b
    ),
    mrla_light=Network(classifier({**STEM, **block_rules('layer{stage}', light=True)}), mrla_light),
    mrla_base=Network(
        classifier({**STEM, **block_rules('stages.{stage0}', light=False)}), mrla_base
    ),
    dia_resnet=dianet.NETWORKS['dia_resnet'],
    senet=Network(classifier(SE_RESNET), senet),
    ecanet=Network(classifier(ECA_RESNET), ecanet),
    resnet=Network(classifier(RESNET), any_trunk),
    # The convolution's name is misspelled in this network alone.
    resnet_dla_l=Network(
        classifier(dynamic_rules('layer{stage}', 'mrla', light=True, excite='extict')), dla_l
    ),
    resnet_dlal=Network(
        detector(dynamic_rules('layer{stage}', 'mrla', light=True)), resnet_dlal, AROUND_BACKBONE
    ),
)

if __name__ == '__main__':
    run_networks(__doc__, NETWORKS)
