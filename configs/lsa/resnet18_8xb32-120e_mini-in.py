_base_ = [
    'mmpretrain::_base_/models/resnet18.py',
    '../_base_/datasets/mini-imagenet_bs32.py',
    'mmpretrain::_base_/schedules/imagenet_bs256.py',
    'mmpretrain::_base_/default_runtime.py',
]

model = dict(backbone=dict(type='mmdia.ResNet'), head=dict(num_classes=100))
train_cfg = dict(max_epochs=120)
