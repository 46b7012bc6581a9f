# Wide ResNet in DIANet
_base_ = 'mmpretrain::_base_/schedules/cifar10_bs128.py'

optim_wrapper = dict(optimizer=dict(weight_decay=5e-4))
param_scheduler = dict(milestones=[80, 120, 160], gamma=0.2)
train_cfg = dict(max_epochs=200)
