# A slim plain network for a first comparison on a CPU; the attended one inherits it.
_base_ = [
    '../_base_/datasets/cifar100-folder_bs128.py',
    'mmpretrain::_base_/default_runtime.py',
]

model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mmdia.ResNet', depth=18, stem_channels=16, base_channels=16, small_stem=True
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead', num_classes=100, in_channels=128, loss=dict(type='CrossEntropyLoss')
    ),
)
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=3e-3, weight_decay=0.01))
param_scheduler = dict(
    type='OneCycleLR', eta_max=3e-3, total_steps=5, by_epoch=True, convert_to_iter_based=True
)
train_cfg = dict(by_epoch=True, max_epochs=5, val_interval=1)
val_cfg = dict()
test_cfg = dict()
