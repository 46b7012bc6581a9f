# A first look: a slim Faster R-CNN with DIA-LSTM on drawn shapes.
_base_ = ['../_base_/models/faster-rcnn_r18-w16_fpn.py', 'mmdet::_base_/default_runtime.py']

image_size = 128

model = dict(
    data_preprocessor=dict(mean=[127.5] * 3, std=[64.0] * 3),
    backbone=dict(
        strides=(2, 2, 2, 2),
        out_indices=(1, 2, 3),
        interaction=dict(type='mmdia.DIALSTM', ratio=4, identity_init=True),
        zero_init_residual=False,
    ),
    neck=dict(in_channels=[32, 64, 128]),
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='RandomFlip', prob=[0.25, 0.25, 0.25], direction=['horizontal', 'vertical', 'diagonal']
    ),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(image_size, image_size), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        # CocoMetric takes the truth from the 'instances'.
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'instances'),
    ),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='mmdia.ShapesDataset',
        split='train',
        num_images=400,
        image_size=image_size,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmdia.ShapesDataset',
        split='val',
        num_images=40,
        image_size=image_size,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmdia.ShapesDataset',
        split='test',
        num_images=100,
        image_size=image_size,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
val_evaluator = dict(type='CocoMetric', metric='bbox')
test_evaluator = val_evaluator

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.01),
    clip_grad=dict(max_norm=10),
)
param_scheduler = dict(
    type='OneCycleLR',
    eta_max=2e-3,
    by_epoch=True,
    end=8,
    convert_to_iter_based=True,
)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=8, val_interval=2)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

default_hooks = dict(logger=dict(interval=20), checkpoint=dict(max_keep_ckpts=1))
