_base_ = 'resnet110_b128-180e_cifar10.py'

model = dict(
    backbone=dict(interaction=dict(type='mmdia.DLALight', ratio=4, attention_drop_path_rate=0.2))
)
