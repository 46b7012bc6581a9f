_base_ = 'resnet110-basic_b128-160e_cifar100.py'

model = dict(
    backbone=dict(
        interaction=dict(type='mmdia.BlockAttention', attention=dict(type='mmdia.SE', ratio=16))
    )
)
