_base_ = 'resnet164_b128-164e_cifar100.py'

model = dict(
    backbone=dict(interaction=dict(type='mmdia.DIALSTM', ratio=4), stages=(False, True, True))
)
