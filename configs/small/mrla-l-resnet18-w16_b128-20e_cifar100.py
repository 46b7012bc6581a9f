# MRLA-L, the static layer attention that DLA-L makes dynamic.
_base_ = 'resnet18-w16_b128-20e_cifar100.py'

model = dict(backbone=dict(interaction=dict(type='mmdia.MRLALight', head_channels=16)))
