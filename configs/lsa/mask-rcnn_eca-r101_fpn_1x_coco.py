# Mask R-CNN with ECA in ResNet-101, on COCO by MMDetection's 1x schedule.
_base_ = 'mask-rcnn_eca-r50_fpn_1x_coco.py'

model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='torchvision://resnet101')))
