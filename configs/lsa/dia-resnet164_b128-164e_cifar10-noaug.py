_base_ = 'resnet164_b128-164e_cifar10-noaug.py'

model = dict(backbone=dict(interaction=dict(type='mmdia.DIALSTM', ratio=4)))
