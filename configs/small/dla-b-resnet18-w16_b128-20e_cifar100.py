# DLA-B: dynamic layer attention in its base form.
_base_ = 'resnet18-w16_b128-20e_cifar100.py'

model = dict(backbone=dict(interaction=dict(type='mmdia.DLABase', ratio=4, head_channels=16)))
