# Layer-wise Shared Attention: DIA-LSTM Light in Wide ResNet-52-4, on CIFAR-10.
# With options it trains what the paper compares it with; docs/configs.md lists them.
_base_ = '../dia/dia-wrn52-4_b128-200e_cifar10.py'

model = dict(
    backbone=dict(interaction=dict(_delete_=True, type='mmdia.DIALSTMLight', extra_norm=True))
)
