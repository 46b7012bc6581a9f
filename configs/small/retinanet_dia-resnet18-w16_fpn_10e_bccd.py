# DIA-LSTM, as trained on CIFAR-100.
_base_ = 'retinanet_resnet18-w16_fpn_10e_bccd.py'

model = dict(
    backbone=dict(
        interaction=dict(type='mmdia.DIALSTM', ratio=4),
        init_cfg=dict(checkpoint='mmdia://dia-resnet18-w16_b128-20e_cifar100'),
    )
)
