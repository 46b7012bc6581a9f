_base_ = 'resnet245-nobn_b128-164e_cifar100.py'

model = dict(
    backbone=dict(
        interaction=dict(type='mmdia.BlockAttention', attention=dict(type='mmdia.SE', ratio=16))
    )
)
