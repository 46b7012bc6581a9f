# Squeeze-and-excitation, a gate of its own in every block.
_base_ = 'resnet18-w16_b128-20e_cifar100.py'

model = dict(
    backbone=dict(
        interaction=dict(type='mmdia.BlockAttention', attention=dict(type='mmdia.SE', ratio=4))
    )
)
