_base_ = [
    '../_base_/models/cifar_classifier.py',
    '../_base_/datasets/cifar100_bs128.py',
    '../_base_/schedules/sgd_b128-300e_step150.py',
    'mmpretrain::_base_/default_runtime.py',
]

model = dict(
    backbone=dict(type='mmdia.CIFARResNet', depth=101, base_channels=32, groups=8, base_width=32),
    head=dict(in_channels=512),
)
