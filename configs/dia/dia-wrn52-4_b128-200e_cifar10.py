# DIANet: DIA-LSTM in Wide ResNet-52-4, on CIFAR-10.
# With options it trains what the paper compares it with; docs/configs.md lists them.
_base_ = [
    '../_base_/models/wrn52-4.py',
    '../_base_/datasets/cifar10_bs128.py',
    '../_base_/schedules/sgd_b128-200e_step80.py',
    'mmpretrain::_base_/default_runtime.py',
]

model = dict(
    backbone=dict(interaction=dict(type='mmdia.DIALSTM', ratio=4, extra_norm=True)),
    head=dict(num_classes=10),
)
