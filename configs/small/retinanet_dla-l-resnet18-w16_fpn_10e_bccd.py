# DLA-L, as trained on CIFAR-100.
_base_ = 'retinanet_resnet18-w16_fpn_10e_bccd.py'

model = dict(
    backbone=dict(
        interaction=dict(type='mmdia.DLALight', ratio=4, head_channels=16),
        init_cfg=dict(checkpoint='mmdia://dla-l-resnet18-w16_b128-20e_cifar100'),
    )
)
