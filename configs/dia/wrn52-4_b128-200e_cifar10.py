_base_ = [
    '../_base_/models/cifar_classifier.py',
    '../_base_/datasets/cifar10_bs128.py',
    '../_base_/schedules/sgd_b128-200e_step80.py',
    'mmpretrain::_base_/default_runtime.py',
]

model = dict(
    backbone=dict(type='mmdia.WideResNet', depth=52, widen_factor=4, drop_rate=0.3),
    head=dict(num_classes=10),
)
