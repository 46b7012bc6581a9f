# PreResNet in DIANet, ResNet in Layer-wise Shared Attention
_base_ = 'mmpretrain::_base_/schedules/cifar10_bs128.py'

param_scheduler = dict(milestones=[81, 122])
train_cfg = dict(max_epochs=164)
