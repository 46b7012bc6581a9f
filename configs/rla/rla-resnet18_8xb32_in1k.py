# Recurrent Layer Attention: RLA in ResNet-18 on ImageNet.
_base_ = 'resnet18_8xb32_in1k.py'

model = dict(
    backbone=dict(
        interaction=dict(type='mmdia.RLA', context_channels=256, hidden_channels=128, ratio=8)
    )
)
