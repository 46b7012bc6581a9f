# A first look: DIA-LSTM in a slim ResNet-18 on scikit-learn's handwritten digits.
_base_ = 'mmpretrain::_base_/default_runtime.py'

model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(num_classes=10, mean=[127.5] * 3, std=[127.5] * 3),
    backbone=dict(
        type='mmdia.DIAResNet',
        depth=18,
        base_channels=16,
        stem_channels=16,
        small_stem=True,
        ratio=4,
        zero_init_residual=False,
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=128,
        loss=dict(type='CrossEntropyLoss'),
        topk=(1,),
    ),
)

# The images are in memory, and small: workers would only cost time.
train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='mmdia.DigitsDataset',
        split='train',
        pipeline=[dict(type='RandomCrop', crop_size=32, padding=2), dict(type='PackInputs')],
    ),
)
val_dataloader = dict(
    batch_size=120,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='mmdia.DigitsDataset', split='test', pipeline=[dict(type='PackInputs')]),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='Accuracy', topk=(1,))
test_evaluator = val_evaluator

optim_wrapper = dict(optimizer=dict(type='AdamW', lr=3e-3, weight_decay=0.01))
param_scheduler = dict(
    type='OneCycleLR',
    eta_max=3e-3,
    by_epoch=True,
    end=5,
    convert_to_iter_based=True,
)
train_cfg = dict(by_epoch=True, max_epochs=5, val_interval=1)
val_cfg = dict()
test_cfg = dict()

default_hooks = dict(logger=dict(interval=10), checkpoint=dict(max_keep_ckpts=1))
