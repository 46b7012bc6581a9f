# Recurrent Layer Attention: RLA in ResNet-101 on ImageNet.
_base_ = 'resnet101_8xb32_in1k.py'

model = dict(
    backbone=dict(
        interaction=dict(type='mmdia.RLA', context_channels=1024, hidden_channels=512, ratio=16)
    )
)
