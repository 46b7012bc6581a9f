"""Convert checkpoints of DIANet's released code, gbup-group/DIANet, models/cifar."""

from conversion import run_networks
from networks import Network, State, cell_rules, classifier
from trunks import cell_ratio, cifar_trunk, preactivation_trunk, wide_trunk

RESNET = {
    '{stem}.{tensor}': '{stem}.{tensor}',
    'layer{stage}.ModuleList.{block}.{layer}.{tensor}': 'layer{stage}.{block}.{layer}.{tensor}',
    **cell_rules('layer{stage}'),
}
PRERESNET = {
    'conv1.{tensor}': 'conv1.{tensor}',
    'bn.{tensor}': 'final_norm.{tensor}',
    'layer{stage}.ModuleList.{block}.{layer}.{tensor}': 'layer{stage}.{block}.{layer}.{tensor}',
    'layer{stage}.ModuleList.{block}.bn_additional.{tensor}': (
        'layer{stage}.interaction.norms.{block}.{tensor}'
    ),
    **cell_rules('layer{stage}'),
}
WIDE = {
    'conv1.{tensor}': 'conv1.{tensor}',
    'bn1.{tensor}': 'final_norm.{tensor}',
    'block{stage}.ModuleList.{block}.{layer}.{tensor}': 'layer{stage}.{block}.{layer}.{tensor}',
    'block{stage}.ModuleList.{block}.convShortcut.{tensor}': (
        'layer{stage}.{block}.downsample.0.{tensor}'
    ),
    'block{stage}.ModuleList.{block}.bn_additional.{tensor}': (
        'layer{stage}.interaction.norms.{block}.{tensor}'
    ),
    **cell_rules('block{stage}'),
}
RESNEXT_LAYERS = {
    'conv_reduce': 'conv1',
    'bn_reduce': 'bn1',
    'conv_conv': 'conv2',
    'bn': 'bn2',
    'conv_expand': 'conv3',
    'bn_expand': 'bn3',
    'shortcut.shortcut_conv': 'downsample.0',
    'shortcut.shortcut_bn': 'downsample.1',
}
RESNEXT = {
    'conv_1_3x3.{tensor}': 'conv1.{tensor}',
    'bn_1.{tensor}': 'bn1.{tensor}',
    **{
        f'stage_{{stage}}.ModuleList.{{block}}.{theirs}.{{tensor}}': (
            f'layer{{stage}}.{{block}}.{ours}.{{tensor}}'
        )
        for theirs, ours in RESNEXT_LAYERS.items()
    },
    **cell_rules('stage_{stage}'),
}


def dia(state: State, **kwargs) -> dict:
    """Config of the interaction."""
    return dict(type='mmdia.DIALSTM', ratio=cell_ratio(state), **kwargs)


def dia_resnet(state: State) -> dict:
    """Config of the ResNet and the ResNeXt."""
    return dict(cifar_trunk(state), interaction=dia(state))


def dia_preresnet(state: State) -> dict:
    """Config of the pre-activation ResNet."""
    return dict(preactivation_trunk(state), interaction=dia(state, extra_norm=True))


def dia_wrn(state: State) -> dict:
    """Config of the Wide ResNet."""
    return dict(wide_trunk(state), interaction=dia(state, extra_norm=True))


NETWORKS = dict(
    dia_resnet=Network(classifier(RESNET), dia_resnet),
    dia_preresnet=Network(classifier(PRERESNET), dia_preresnet),
    dia_wrn=Network(classifier(WIDE), dia_wrn),
    dia_resnext=Network(classifier(RESNEXT, fc='classifier'), dia_resnet),
)

if __name__ == '__main__':
    run_networks(__doc__, NETWORKS)
