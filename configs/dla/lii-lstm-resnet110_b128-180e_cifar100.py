_base_ = 'resnet110_b128-180e_cifar100.py'

model = dict(backbone=dict(interaction=dict(type='mmdia.LII', cell=dict(type='mmdia.LSTMCell'))))
