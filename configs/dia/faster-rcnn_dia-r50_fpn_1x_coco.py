# Faster R-CNN with DIA-LSTM in ResNet-50, on COCO by MMDetection's 1x schedule.
_base_ = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'

model = dict(
    backbone=dict(
        type='mmdia.ResNet', interaction=dict(type='mmdia.DIALSTM', ratio=20, identity_init=True)
    )
)
