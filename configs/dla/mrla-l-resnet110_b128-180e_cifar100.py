_base_ = 'resnet110_b128-180e_cifar100.py'

model = dict(backbone=dict(interaction=dict(type='mmdia.MRLALight', attention_drop_path_rate=0.2)))
