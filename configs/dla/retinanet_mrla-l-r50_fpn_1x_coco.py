# RetinaNet with MRLA-L in ResNet-50, on COCO by MMDetection's 1x schedule.
_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'

model = dict(
    backbone=dict(type='mmdia.ResNet', interaction=dict(type='mmdia.MRLALight', identity_init=True))
)
