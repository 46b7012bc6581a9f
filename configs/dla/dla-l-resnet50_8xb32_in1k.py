# Dynamic Layer Attention: DLA-L in ResNet-50 on ImageNet.
_base_ = 'mmpretrain::resnet/resnet50_8xb32_in1k.py'

model = dict(
    backbone=dict(
        type='mmdia.ResNet',
        interaction=dict(type='mmdia.DLALight', ratio=20, attention_drop_path_rate=0.2),
    )
)
# As the released script warms up: 0.0001, 0.0333 and 0.0667 in the first epochs, then 0.1.
param_scheduler = [
    dict(type='ConstantLR', factor=0.001, by_epoch=True, begin=0, end=2),
    dict(type='LinearLR', start_factor=1 / 3, by_epoch=True, begin=1, end=4),
    dict(type='MultiStepLR', by_epoch=True, milestones=[30, 60, 90], gamma=0.1),
]
