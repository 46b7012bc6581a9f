_base_ = 'mmpretrain::resnet/resnet50_8xb32_in1k.py'

model = dict(backbone=dict(type='mmdia.DLAResNet', ratio=20, attention_drop_path_rate=0.2))
