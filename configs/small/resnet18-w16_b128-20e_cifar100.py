# ResNet-18, a quarter as wide, on CIFAR-100 in 20 epochs: small enough to train on a CPU.
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
optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
)
param_scheduler = dict(
    type='OneCycleLR',
    eta_max=0.1,
    total_steps=20,
    pct_start=0.2,
    by_epoch=True,
    convert_to_iter_based=True,
)
train_cfg = dict(by_epoch=True, max_epochs=20, val_interval=1)
val_cfg = dict()
test_cfg = dict()
default_hooks = dict(checkpoint=dict(max_keep_ckpts=1), logger=dict(interval=50))
auto_scale_lr = dict(base_batch_size=128)
