# Recurrent Layer Attention: Faster R-CNN with RLA in ResNet-50, on COCO 2014.
# The paper leaves the head open. Here it is C4: RLA goes along stages 1 to 3, and stage 4, which
# runs once for each proposal, is plain. With options it trains the plain networks and ResNet-101;
# docs/configs.md lists them.
_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50-caffe-c4.py',
    '../_base_/datasets/coco2014_600.py',
    'mmdet::_base_/default_runtime.py',
    '../_base_/schedules/sgd_b1-490k_step350k.py',
]

weights = dict(type='Pretrained', checkpoint='torchvision://resnet50')

model = dict(
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True
    ),
    backbone=dict(
        type='mmdia.ResNet',
        style='pytorch',
        interaction=dict(
            type='mmdia.RLA',
            context_channels=1024,
            hidden_channels=512,
            ratio=16,
            identity_init=True,
        ),
        init_cfg=weights,
    ),
    rpn_head=dict(anchor_generator=dict(scales=[4, 8, 16, 32])),
    roi_head=dict(shared_head=dict(style='pytorch', init_cfg=weights)),
    train_cfg=dict(rcnn=dict(sampler=dict(num=256, add_gt_as_proposals=False))),
    test_cfg=dict(rpn=dict(max_per_img=300), rcnn=dict(nms=dict(iou_threshold=0.3))),
)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=35000))
log_processor = dict(by_epoch=False)
