# DIA-LSTM: one LSTM a stage gates the channels of its blocks.
_base_ = 'resnet18-w16_b128-20e_cifar100.py'

model = dict(backbone=dict(interaction=dict(type='mmdia.DIALSTM', ratio=4)))
