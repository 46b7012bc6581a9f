_base_ = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'

# The trunk starts from plain weights of torchvision, which fresh attention would spoil.
model = dict(backbone=dict(type='mmdia.DLAResNet', ratio=20, identity_init=True))
