_base_ = 'resnet164_b128-164e_cifar10.py'

model = dict(backbone=dict(depth=83))
