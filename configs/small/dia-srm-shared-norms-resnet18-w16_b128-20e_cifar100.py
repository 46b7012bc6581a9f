# DIA-SRM whose norms are shared too: accuracy collapses, see docs/results.md.
_base_ = 'dia-srm-resnet18-w16_b128-20e_cifar100.py'

model = dict(backbone=dict(interaction=dict(share_norms=True)))
