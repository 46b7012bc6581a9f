# Without data augmentation, as in Table 9 of DIANet.
_base_ = 'cifar10_bs128.py'

train_dataloader = dict(dataset=dict(pipeline=[dict(type='PackInputs')]))
