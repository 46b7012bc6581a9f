_base_ = 'resnet164-noskip_b128-180e_cifar100.py'

model = dict(backbone=dict(interaction=dict(type='mmdia.DIALSTM', ratio=4)))
