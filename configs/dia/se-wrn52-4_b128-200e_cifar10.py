_base_ = 'wrn52-4_b128-200e_cifar10.py'

model = dict(
    backbone=dict(
        interaction=dict(type='mmdia.BlockAttention', attention=dict(type='mmdia.SE', ratio=4))
    )
)
