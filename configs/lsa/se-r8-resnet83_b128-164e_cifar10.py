_base_ = 'resnet83_b128-164e_cifar10.py'

model = dict(
    backbone=dict(
        interaction=dict(type='mmdia.BlockAttention', attention=dict(type='mmdia.SE', ratio=8))
    )
)
