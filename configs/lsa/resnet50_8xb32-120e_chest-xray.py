_base_ = [
    'mmpretrain::_base_/models/resnet50.py',
    '../_base_/datasets/chest-xray_bs32.py',
    'mmpretrain::_base_/schedules/imagenet_bs256.py',
    'mmpretrain::_base_/default_runtime.py',
]

model = dict(backbone=dict(type='mmdia.ResNet'), head=dict(num_classes=2, topk=(1,)))
train_cfg = dict(max_epochs=120)
