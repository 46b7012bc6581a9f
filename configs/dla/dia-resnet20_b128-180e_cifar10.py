_base_ = 'resnet20_b128-180e_cifar10.py'

model = dict(backbone=dict(interaction=dict(type='mmdia.DIALSTM', ratio=4)))
