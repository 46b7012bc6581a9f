# A residual network for small images, with 256 channels in the end, and 100 classes.
model = dict(
    type='ImageClassifier',
    backbone=dict(type='mmdia.CIFARResNet'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=100,
        in_channels=256,
        loss=dict(type='CrossEntropyLoss'),
    ),
)
