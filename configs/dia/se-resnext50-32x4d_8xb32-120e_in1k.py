# DIANet: SE in ResNeXt-50, 32x4d, on ImageNet.
_base_ = 'resnext50-32x4d_8xb32-120e_in1k.py'

model = dict(
    backbone=dict(
        interaction=dict(type='mmdia.BlockAttention', attention=dict(type='mmdia.SE', ratio=16))
    )
)
