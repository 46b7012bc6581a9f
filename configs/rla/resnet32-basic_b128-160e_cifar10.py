_base_ = [
    '../_base_/models/cifar_classifier.py',
    '../_base_/datasets/cifar10_bs128.py',
    '../_base_/schedules/sgd_b128-160e_step80.py',
    'mmpretrain::_base_/default_runtime.py',
]

model = dict(
    backbone=dict(type='mmdia.CIFARResNet', depth=32, block='basic'),
    head=dict(in_channels=64, num_classes=10),
)
