_base_ = 'resnet164_b128-180e_cifar100.py'

model = dict(backbone=dict(depth=245))
