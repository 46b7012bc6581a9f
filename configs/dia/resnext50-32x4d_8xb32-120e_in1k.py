# DIANet: plain ResNeXt-50, 32x4d, on ImageNet, for comparison.
_base_ = 'mmpretrain::resnext/resnext50-32x4d_8xb32_in1k.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmdia.ResNet',
        depth=50,
        groups=32,
        base_width=4,
        zero_init_residual=False,
    )
)
train_cfg = dict(max_epochs=120)
