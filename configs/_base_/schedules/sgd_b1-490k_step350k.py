# Faster R-CNN on COCO in the implementation of Chen and Gupta (arXiv:1702.02138).
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.001, momentum=0.9, weight_decay=0.0001),
)
param_scheduler = dict(type='MultiStepLR', by_epoch=False, milestones=[350000], gamma=0.1)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=490000, val_interval=35000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=1)
