# DIANet: DIA-LSTM in ResNet-50 on ImageNet.
_base_ = 'resnet50_8xb32-120e_in1k.py'

model = dict(backbone=dict(interaction=dict(type='mmdia.DIALSTM', ratio=20)))
