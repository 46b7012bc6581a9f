_base_ = 'resnet18_b128-5e_cifar100-folder.py'

model = dict(backbone=dict(type='mmdia.DIAResNet', ratio=4))
