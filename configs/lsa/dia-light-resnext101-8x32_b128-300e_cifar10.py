_base_ = '../dia/resnext101-8x32_b128-300e_cifar10.py'

model = dict(backbone=dict(interaction=dict(type='mmdia.DIALSTMLight')))
