# Layer-wise Shared Attention: DIA-LSTM Light in ResNet-50, on mini-ImageNet.
# With options it trains what the paper compares it with; docs/configs.md lists them.
_base_ = [
    'mmpretrain::_base_/models/resnet50.py',
    '../_base_/datasets/mini-imagenet_bs32.py',
    'mmpretrain::_base_/schedules/imagenet_bs256.py',
    'mmpretrain::_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        type='mmdia.ResNet',
        zero_init_residual=False,
        interaction=dict(type='mmdia.DIALSTMLight'),
    ),
    head=dict(num_classes=100),
)
train_cfg = dict(max_epochs=120)
