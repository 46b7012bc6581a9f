_base_ = 'resnext101-8x32_b128-300e_cifar100.py'

model = dict(
    backbone=dict(
        interaction=dict(
            type='mmdia.BlockAttention', attention=dict(type='mmdia.SE', ratio=4, bias=False)
        )
    )
)
