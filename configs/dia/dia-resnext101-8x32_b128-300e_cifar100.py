# DIANet: DIA-LSTM in ResNeXt-101, 8x32, on CIFAR-100.
# With options it trains what the paper compares it with; docs/configs.md lists them.
_base_ = [
    '../_base_/models/resnext101-8x32.py',
    '../_base_/datasets/cifar100_bs128.py',
    '../_base_/schedules/sgd_b128-300e_step150.py',
    'mmpretrain::_base_/default_runtime.py',
]

model = dict(
    backbone=dict(interaction=dict(type='mmdia.DIALSTM', ratio=4)),
)
