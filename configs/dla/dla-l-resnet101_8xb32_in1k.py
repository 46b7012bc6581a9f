# Dynamic Layer Attention: DLA-L in ResNet-101 on ImageNet.
_base_ = 'dla-l-resnet50_8xb32_in1k.py'

model = dict(backbone=dict(depth=101))
