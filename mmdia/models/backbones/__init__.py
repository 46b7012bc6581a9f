from .base import ResidualBackbone
from .blocks import BasicBlock, Bottleneck, ResidualBlock
from .cifar import CIFARResNet, PreResNet, WideResNet
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
    'ResNet',
    'ResidualBackbone',
    'ResidualBlock',
    'ResidualNetwork',
    'Stage',
    'WideBlock',
    'WideResNet',
]
