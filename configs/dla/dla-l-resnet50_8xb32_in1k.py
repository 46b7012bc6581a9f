# Dynamic Layer Attention: DLA-L in ResNet-50 on ImageNet.
_base_ = 'mmpretrain::resnet/resnet50_8xb32_in1k.py'

model = dict(
    backbone=dict(
        type='mmdia.ResNet',
        interaction=dict(type='mmdia.DLALight', ratio=20, attention_drop_path_rate=0.2),
    )
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=True, begin=0, end=3),
    dict(type='MultiStepLR', by_epoch=True, milestones=[30, 60, 90], gamma=0.1),
]
