_base_ = 'resnet164_b128-164e_cifar100.py'

model = dict(backbone=dict(depth=83, normalize=False))
