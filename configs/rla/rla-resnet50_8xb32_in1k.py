# Recurrent Layer Attention: RLA in ResNet-50 on ImageNet.
_base_ = 'resnet50_8xb32_in1k.py'

model = dict(
    backbone=dict(
        interaction=dict(type='mmdia.RLA', context_channels=1024, hidden_channels=512, ratio=16)
    )
)
