_base_ = 'preresnet164_b128-164e_cifar10.py'

model = dict(backbone=dict(interaction=dict(type='mmdia.DIALSTM', ratio=4, extra_norm=True)))
