# RLA, as trained on CIFAR-100.
_base_ = 'retinanet_resnet18-w16_fpn_10e_bccd.py'

model = dict(
    backbone=dict(
        interaction=dict(type='mmdia.RLA', context_channels=32, hidden_channels=4, ratio=1),
        init_cfg=dict(checkpoint='mmdia://rla-resnet18-w16_b128-20e_cifar100'),
    )
)
