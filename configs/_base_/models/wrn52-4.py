# Wide ResNet-52-4 for small images.
_base_ = 'cifar_classifier.py'

model = dict(
    backbone=dict(type='mmdia.WideResNet', depth=52, widen_factor=4, drop_rate=0.3),
)
