# DIA-LSTM that starts as the plain network: its first gates are 1, not about a quarter.
_base_ = 'dia-resnet18-w16_b128-20e_cifar100.py'

model = dict(backbone=dict(interaction=dict(identity_init=True)))
