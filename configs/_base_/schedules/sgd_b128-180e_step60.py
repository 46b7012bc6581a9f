# ResNet in DIANet
_base_ = 'mmpretrain::_base_/schedules/cifar10_bs128.py'

param_scheduler = dict(milestones=[60, 120])
train_cfg = dict(max_epochs=180)
