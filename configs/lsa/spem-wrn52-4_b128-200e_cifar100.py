_base_ = '../dia/wrn52-4_b128-200e_cifar100.py'

model = dict(
    backbone=dict(interaction=dict(type='mmdia.BlockAttention', attention=dict(type='mmdia.SPEM')))
)
