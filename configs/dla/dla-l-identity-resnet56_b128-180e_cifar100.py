_base_ = 'resnet56_b128-180e_cifar100.py'

model = dict(
    backbone=dict(
        interaction=dict(
            type='mmdia.DLALight',
            cell=dict(type='mmdia.DSUCell', ratio=4, input_activation='identity'),
            attention_drop_path_rate=0.2,
        )
    )
)
