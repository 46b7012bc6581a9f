from .base import ResidualBackbone
from .blocks import BasicBlock, Bottleneck, ResidualBlock
from .cifar import CIFARResNet, PreResNet, WideResNet
from .counterparts import ResNet_CIFAR, ResNetV1c, ResNetV1d, ResNeXt, SEResNet, SEResNeXt
from .named import DIAResNet, DLAResNet, RLAResNet
from .network import ResidualNetwork
from .preactivation import (
    PreActivationBasicBlock,
    PreActivationBlock,
    PreActivationBottleneck,
    WideBlock,
)
from .resnet import ResNet
from .stage import Stage

__all__ = [
    'BasicBlock',
    'Bottleneck',
    'CIFARResNet',
    'DIAResNet',
    'DLAResNet',
    'PreActivationBasicBlock',
    'PreActivationBlock',
    'PreActivationBottleneck',
    'PreResNet',
    'RLAResNet',
    'ResNeXt',
    'ResNet',
    'ResNetV1c',
    'ResNetV1d',
    'ResNet_CIFAR',
    'ResidualBackbone',
    'ResidualBlock',
    'ResidualNetwork',
    'SEResNeXt',
    'SEResNet',
    'Stage',
    'WideBlock',
    'WideResNet',
]
