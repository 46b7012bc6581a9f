_base_ = 'resnet50_8xb32-120e_chest-xray.py'

model = dict(backbone=dict(interaction=dict(type='mmdia.DIALSTMLight')))
