# DIANet: DIA-LSTM in ResNeXt-50, 32x4d, on ImageNet.
_base_ = 'resnext50-32x4d_8xb32-120e_in1k.py'

model = dict(backbone=dict(interaction=dict(type='mmdia.DIALSTM', ratio=20)))
