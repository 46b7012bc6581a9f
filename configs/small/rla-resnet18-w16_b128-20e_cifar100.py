# RLA: recurrent layer attention.
_base_ = 'resnet18-w16_b128-20e_cifar100.py'

model = dict(
    backbone=dict(
        interaction=dict(type='mmdia.RLA', context_channels=32, hidden_channels=4, ratio=1)
    )
)
