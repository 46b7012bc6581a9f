# STL-10 as a tree of images: data/stl10/{train,test}/<class>/<name>.png
_base_ = 'cifar100-folder_bs128.py'

data_preprocessor = dict(
    num_classes=10,
    mean=[125.307, 122.961, 113.8575],
    std=[51.5865, 50.847, 51.255],
)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomCrop', crop_size=96, padding=12),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(data_root='data/stl10', pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root='data/stl10'))
test_dataloader = val_dataloader
