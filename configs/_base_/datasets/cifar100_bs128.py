_base_ = 'mmpretrain::_base_/datasets/cifar100_bs16.py'

# The statistics of CIFAR-10, as in the released code of DIANet and Dynamic Layer Attention.
data_preprocessor = dict(
    mean=[125.307, 122.961, 113.8575],
    std=[51.5865, 50.847, 51.255],
)
train_dataloader = dict(batch_size=128)
val_dataloader = dict(batch_size=128)
test_dataloader = val_dataloader
