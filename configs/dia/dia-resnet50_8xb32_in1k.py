# DIA-LSTM in ResNet-50 on ImageNet, by the recipe of the plain network in MMPretrain: 100 epochs.
_base_ = 'mmpretrain::resnet/resnet50_8xb32_in1k.py'

model = dict(backbone=dict(type='mmdia.DIAResNet', ratio=20))
