# Recurrent Layer Attention: SE in ResNet-50 on ImageNet.
_base_ = 'resnet50_8xb32_in1k.py'

model = dict(
    backbone=dict(
        interaction=dict(type='mmdia.BlockAttention', attention=dict(type='mmdia.SE', ratio=16))
    )
)
