# Recurrent Layer Attention: RLA in ResNet-56 of basic blocks, on CIFAR-10.
# With options it trains what the paper compares it with; docs/configs.md lists them.
_base_ = [
    '../_base_/models/cifar_classifier.py',
    '../_base_/datasets/cifar10_bs128.py',
    '../_base_/schedules/sgd_b128-160e_step80.py',
    'mmpretrain::_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        type='mmdia.CIFARResNet',
        depth=56,
        block='basic',
        interaction=dict(type='mmdia.RLA', context_channels=32, hidden_channels=4, ratio=1),
    ),
    head=dict(in_channels=64, num_classes=10),
)
