# DIANet: DIA-LSTM in ResNet-164, on CIFAR-100.
# With options it trains what the paper compares it with; docs/configs.md lists them.
_base_ = [
    '../_base_/models/cifar_classifier.py',
    '../_base_/datasets/cifar100_bs128.py',
    '../_base_/schedules/sgd_b128-180e_step60.py',
    'mmpretrain::_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        type='mmdia.CIFARResNet', depth=164, interaction=dict(type='mmdia.DIALSTM', ratio=4)
    ),
)
