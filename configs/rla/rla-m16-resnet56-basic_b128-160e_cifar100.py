_base_ = 'resnet56-basic_b128-160e_cifar100.py'

model = dict(
    backbone=dict(
        interaction=dict(type='mmdia.RLA', context_channels=32, hidden_channels=16, ratio=1)
    )
)
