# Faster R-CNN with DIA-LSTM Light in ResNet-101, on COCO by MMDetection's 1x schedule.
_base_ = 'faster-rcnn_dia-light-r50_fpn_1x_coco.py'

model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='torchvision://resnet101')))
