_base_ = [
    '../_base_/models/cifar_classifier.py',
    '../_base_/datasets/cifar10_bs128.py',
    '../_base_/schedules/sgd_b128-164e_step81.py',
    'mmpretrain::_base_/default_runtime.py',
]

model = dict(backbone=dict(type='mmdia.PreResNet', depth=164), head=dict(num_classes=10))
