# Faster R-CNN on blood smears, 320 pixels wide, from weights of CIFAR-100.
_base_ = [
    '../_base_/models/faster-rcnn_r18-w16_fpn.py',
    '../_base_/datasets/bccd_320.py',
    '../_base_/schedules/adamw_10e.py',
    'mmdet::_base_/default_runtime.py',
]

model = dict(
    # of the classifier that the weights are of
    data_preprocessor=dict(mean=[129.304, 124.070, 112.434], std=[68.170, 65.392, 70.418]),
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone.',
            checkpoint='mmdia://resnet18-w16_b128-20e_cifar100',
        )
    ),
)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(max_keep_ckpts=1))
