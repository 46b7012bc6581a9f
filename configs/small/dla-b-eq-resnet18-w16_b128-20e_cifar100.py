# DLA-B as the equations of its paper say, but for one cell a stage.
_base_ = 'resnet18-w16_b128-20e_cifar100.py'

model = dict(
    backbone=dict(
        interaction=dict(
            type='mmdia.DLABase',
            cell=dict(type='mmdia.DSUCell', ratio=4, fusion='concat', initial_memory='random'),
            gate='memory',
            renewed='features',
            head_channels=16,
        )
    )
)
