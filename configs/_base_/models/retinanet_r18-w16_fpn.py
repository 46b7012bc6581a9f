# RetinaNet with a slim head on a ResNet-18 of a quarter of its width, for small images.
_base_ = 'mmdet::_base_/models/retinanet_r50_fpn.py'

channels = 64  # of the neck and the head

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
    neck=dict(in_channels=[64, 128], out_channels=channels, start_level=0, num_outs=4),
    bbox_head=dict(
        num_classes=3,
        in_channels=channels,
        feat_channels=channels,
        stacked_convs=2,
        anchor_generator=dict(strides=[4, 8, 16, 32]),
    ),
    test_cfg=dict(nms_pre=200, max_per_img=100),
)
