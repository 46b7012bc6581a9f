_base_ = 'resnet20_b128-180e_cifar10.py'

model = dict(
    backbone=dict(interaction=dict(type='mmdia.DLALight', ratio=4, attention_drop_path_rate=0.2))
)
