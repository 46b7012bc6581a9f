_base_ = 'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'

model = dict(
    backbone=dict(
        type='mmdia.ResNet', interaction=dict(type='mmdia.DLALight', ratio=20, identity_init=True)
    )
)
