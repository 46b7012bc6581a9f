# Recurrent Layer Attention: SE in ResNet-18 on ImageNet.
_base_ = 'resnet18_8xb32_in1k.py'

model = dict(
    backbone=dict(
        interaction=dict(type='mmdia.BlockAttention', attention=dict(type='mmdia.SE', ratio=16))
    )
)
