_base_ = 'resnet110_b128-180e_cifar100.py'

model = dict(
    backbone=dict(
        interaction=dict(
            type='mmdia.BlockAttention', attention=dict(type='mmdia.SE', ratio=16, bias=False)
        )
    )
)
