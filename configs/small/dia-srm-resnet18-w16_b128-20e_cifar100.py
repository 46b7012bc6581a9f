# DIA-SRM: one style-based recalibration that the blocks of a stage share, but for its norms.
_base_ = 'resnet18-w16_b128-20e_cifar100.py'

model = dict(
    backbone=dict(interaction=dict(type='mmdia.SharedAttention', attention=dict(type='mmdia.SRM')))
)
