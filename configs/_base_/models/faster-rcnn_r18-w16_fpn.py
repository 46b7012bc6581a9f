# Faster R-CNN with slim heads on a ResNet-18 of a quarter of its width, for small images.
_base_ = 'mmdet::_base_/models/faster-rcnn_r50_fpn.py'

channels = 64  # of the neck and the heads

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmdia.ResNet',
        depth=18,
        stem_channels=16,
        base_channels=16,
        out_indices=(2, 3),
        norm_eval=False,
        small_stem=True,
    ),
    neck=dict(in_channels=[64, 128], out_channels=channels, num_outs=4),
    rpn_head=dict(
        in_channels=channels,
        feat_channels=channels,
        anchor_generator=dict(scales=[4], strides=[4, 8, 16, 32]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(
            roi_layer=dict(sampling_ratio=1),
            out_channels=channels,
            featmap_strides=[4, 8, 16],
            finest_scale=28,
        ),
        bbox_head=dict(in_channels=channels, fc_out_channels=256, num_classes=3),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=200, max_per_img=100),
        rcnn=dict(sampler=dict(num=32)),
    ),
    test_cfg=dict(
        rpn=dict(nms_pre=200, max_per_img=100),
        rcnn=dict(max_per_img=100),
    ),
)
