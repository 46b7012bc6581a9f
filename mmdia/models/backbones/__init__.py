from .base import ResidualBackbone
from .blocks import BasicBlock, Bottleneck, ResidualBlock
from .named import DIAResNet, DLAResNet, RLAResNet
from .resnet import ResNet
from .stage import Stage

__all__ = [
    'BasicBlock',
    'Bottleneck',
    'DIAResNet',
    'DLAResNet',
    'RLAResNet',
    'ResNet',
    'ResidualBackbone',
    'ResidualBlock',
    'Stage',
]
