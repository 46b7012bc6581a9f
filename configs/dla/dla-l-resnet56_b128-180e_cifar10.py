# Dynamic Layer Attention: DLA-L in ResNet-56 of bottlenecks, on CIFAR-10.
# With options it trains what the paper compares it with; docs/configs.md lists them.
_base_ = [
    '../_base_/models/cifar_classifier.py',
    '../_base_/datasets/cifar10_bs128.py',
    '../_base_/schedules/sgd_b128-180e_step100.py',
    'mmpretrain::_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        type='mmdia.CIFARResNet',
        depth=56,
        interaction=dict(type='mmdia.DLALight', ratio=4, attention_drop_path_rate=0.2),
    ),
    head=dict(num_classes=10),
)
