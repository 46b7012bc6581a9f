_base_ = 'resnet50_8xb32-120e_mini-in.py'

model = dict(backbone=dict(interaction=dict(type='mmdia.DIALSTMLight')))
