_base_ = 'resnet83_b128-164e_cifar100.py'

model = dict(
    backbone=dict(
        interaction=dict(
            type='mmdia.SharedAttention', attention=dict(type='mmdia.ECA', kernel_size=7)
        )
    )
)
