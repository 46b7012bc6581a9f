_base_ = 'wrn52-4_b128-200e_cifar100.py'

model = dict(backbone=dict(interaction=dict(type='mmdia.DIALSTM', ratio=4, extra_norm=True)))
