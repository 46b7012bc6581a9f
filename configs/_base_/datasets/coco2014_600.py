# COCO 2014, 83K and 41K images, the shorter side 600 pixels and an image at a time.
_base_ = 'mmdet::_base_/datasets/coco_detection.py'

train_pipeline = _base_.train_pipeline
train_pipeline[2].scale = (1000, 600)
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = (1000, 600)

train_dataloader = dict(
    batch_size=1,
    sampler=dict(type='InfiniteSampler'),
    dataset=dict(
        ann_file='annotations/instances_train2014.json',
        data_prefix=dict(img='train2014/'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    dataset=dict(
        ann_file='annotations/instances_val2014.json',
        data_prefix=dict(img='val2014/'),
        pipeline=test_pipeline,
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=_base_.data_root + 'annotations/instances_val2014.json')
test_evaluator = val_evaluator
