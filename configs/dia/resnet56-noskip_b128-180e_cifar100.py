_base_ = [
    '../_base_/models/cifar_classifier.py',
    '../_base_/datasets/cifar100_bs128.py',
    '../_base_/schedules/sgd_b128-180e_step60.py',
    'mmpretrain::_base_/default_runtime.py',
]

model = dict(backbone=dict(type='mmdia.CIFARResNet', depth=56, skip_connections=False))
