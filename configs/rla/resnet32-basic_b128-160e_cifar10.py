_base_ = 'resnet20-basic_b128-160e_cifar10.py'

model = dict(backbone=dict(depth=32))
