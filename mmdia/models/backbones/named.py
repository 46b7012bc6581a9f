"""The methods of the papers under the names that their users know."""

from typing import Tuple

from mmdia.registry import MODELS

from .resnet import ResNet


class NamedResNet(ResNet):
    """Base of ResNets with a certain interaction, whose arguments they take as their own.

    Args:
        depth (int): Depth, one of 18, 34, 50, 101, 152.
        **kwargs: Arguments of the interaction, and of :class:`ResNet`.

    Attributes:
        interaction_type (str): The registered name of the interaction.
        interaction_arguments (Tuple[str]): Which arguments are the
            interaction's.
    """

    interaction_type: str
    interaction_arguments: Tuple[str, ...]

    def __init__(self, depth: int, **kwargs) -> None:
        names = [name for name in self.interaction_arguments if name in kwargs]
        interaction = {name: kwargs.pop(name) for name in names}
        super().__init__(depth, dict(type=self.interaction_type, **interaction), **kwargs)


@MODELS.register_module()
class DIAResNet(NamedResNet):
    """ResNet with DIA-LSTM: one LSTM a stage gates the channels of its blocks.

    A shorthand for :class:`ResNet` with ``interaction=dict(
    type='mmdia.DIALSTM', ...)``.

    Args:
        depth (int): Depth, one of 18, 34, 50, 101, 152.
        **kwargs: ``ratio``, ``activation``, ``num_cells``, ``extra_norm`` and
            ``identity_init`` of :class:`~mmdia.models.DIALSTM`; all others see
            :class:`ResNet`.
    """

    interaction_type = 'mmdia.DIALSTM'
    interaction_arguments = ('ratio', 'activation', 'num_cells', 'extra_norm', 'identity_init')


@MODELS.register_module()
class DLAResNet(NamedResNet):
    """ResNet with dynamic layer attention in its light form, DLA-L.

    A shorthand for :class:`ResNet` with ``interaction=dict(
    type='mmdia.DLALight', ...)``.

    Args:
        depth (int): Depth, one of 18, 34, 50, 101, 152.
        **kwargs: ``ratio``, ``cell``, ``excite``, ``head_channels``,
            ``attention_drop_path_rate`` and ``identity_init`` of
            :class:`~mmdia.models.DLALight`; all others see :class:`ResNet`.
    """

    interaction_type = 'mmdia.DLALight'
    interaction_arguments = (
        'ratio',
        'cell',
        'excite',
        'head_channels',
        'attention_drop_path_rate',
        'identity_init',
    )


@MODELS.register_module()
class RLAResNet(NamedResNet):
    """ResNet with recurrent layer attention: one LSTM weighs all blocks of the network.

    A shorthand for :class:`ResNet` with ``interaction=dict(type='mmdia.RLA',
    ...)``. Recurrent layer *aggregation* (RLANet) is another network.

    Args:
        depth (int): Depth, one of 18, 34, 50, 101, 152.
        **kwargs: ``context_channels``, ``hidden_channels``, ``ratio``,
            ``gate``, ``context``, ``attention``, ``position``, ``upsample`` and
            ``identity_init`` of :class:`~mmdia.models.RLA`; all others see
            :class:`ResNet`.
    """

    interaction_type = 'mmdia.RLA'
    interaction_arguments = (
        'context_channels',
        'hidden_channels',
        'ratio',
        'gate',
        'context',
        'attention',
        'position',
        'upsample',
        'identity_init',
    )
