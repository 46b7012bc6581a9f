_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'

model = dict(
    backbone=dict(type='mmdia.ResNet', interaction=dict(type='mmdia.MRLALight', identity_init=True))
)
