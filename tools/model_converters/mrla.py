"""Convert checkpoints of MRLA's released code, joyfang1106/MRLA, resnet and mmdetection."""

from conversion import run_networks
from networks import (
    AROUND_BACKBONE,
    Network,
    Rules,
    State,
    attention_rules,
    classifier,
    detector,
)
from trunks import imagenet_trunk


def block_rules(stage: str, light: bool) -> Rules:
    """Rules of blocks with their attention.

    Args:
        stage (str): Template of the stage's module.
        light (bool): Whether the attention has its light form.
    """
    block = f'{stage}.{{block}}'
    return {
        **attention_rules(f'{block}.mrla', 'mrla', f'{block}.bn_mrla', light),
        f'{block}.{{layer}}.{{tensor}}': 'layer{stage}.{block}.{layer}.{tensor}',
    }


LIGHT = {'{stem}.{tensor}': '{stem}.{tensor}', **block_rules('layer{stage}', light=True)}
BASE = {
    'conv1.0.{tensor}': 'stem.0.conv.{tensor}',
    'conv1.1.{tensor}': 'stem.0.bn.{tensor}',
    'conv1.3.{tensor}': 'stem.1.conv.{tensor}',
    'conv1.4.{tensor}': 'stem.1.bn.{tensor}',
    'conv1.6.{tensor}': 'stem.2.conv.{tensor}',
    'bn1.{tensor}': 'stem.2.bn.{tensor}',
    **block_rules('stages.{stage0}', light=False),
}


def mrla_light(state: State) -> dict:
    """Config of MRLA-light."""
    return dict(imagenet_trunk(state), interaction=dict(type='mmdia.MRLALight'))


def mrla_base(state: State) -> dict:
    """Config of MRLA-base."""
    return dict(imagenet_trunk(state), interaction=dict(type='mmdia.MRLABase', head_channels=16))


def mrla_light_detector(state: State) -> dict:
    """Config of MRLA-light in a detector."""
    return dict(mrla_light(state), out_indices=(0, 1, 2, 3))


NETWORKS = dict(
    resnet_mrla_light=Network(classifier(LIGHT), mrla_light),
    resnet_mrla_base=Network(classifier(BASE), mrla_base),
    resnet_mrlal=Network(detector(LIGHT), mrla_light_detector, AROUND_BACKBONE),
)

if __name__ == '__main__':
    run_networks(__doc__, NETWORKS)
