# ResNeXt-101, 8x32, for small images.
_base_ = 'cifar_classifier.py'

model = dict(
    backbone=dict(depth=101, base_channels=32, groups=8, base_width=32),
    head=dict(in_channels=512),
)
