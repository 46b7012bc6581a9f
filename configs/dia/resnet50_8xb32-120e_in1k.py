# DIANet: plain ResNet-50 on ImageNet, for comparison.
_base_ = 'mmpretrain::resnet/resnet50_8xb32_in1k.py'

model = dict(backbone=dict(type='mmdia.ResNet', zero_init_residual=False))
train_cfg = dict(max_epochs=120)
