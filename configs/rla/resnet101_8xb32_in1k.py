# Recurrent Layer Attention: plain ResNet-101 on ImageNet, for comparison.
_base_ = 'mmpretrain::resnet/resnet101_8xb32_in1k.py'

model = dict(backbone=dict(type='mmdia.ResNet', zero_init_residual=False))
optim_wrapper = dict(optimizer=dict(nesterov=True))
