# Mask R-CNN with shared SE (DIA-SE) in ResNet-50, on COCO by MMDetection's 1x schedule.
_base_ = 'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'

model = dict(
    backbone=dict(
        type='mmdia.ResNet',
        interaction=dict(
            type='mmdia.SharedAttention', attention=dict(type='mmdia.SE'), identity_init=True
        ),
    )
)
