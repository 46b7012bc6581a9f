# Layer-wise Shared Attention: DIA-LSTM Light in ResNeXt-101, 8x32, on CIFAR-10.
# With options it trains what the paper compares it with; docs/configs.md lists them.
_base_ = '../dia/dia-resnext101-8x32_b128-300e_cifar10.py'

model = dict(backbone=dict(interaction=dict(_delete_=True, type='mmdia.DIALSTMLight')))
