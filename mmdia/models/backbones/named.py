"""The methods of the papers under the names that their users know."""

from typing import Optional, Tuple

from mmdia.registry import MODELS
from mmdia.utils import check_type
from mmdia.utils.validation import refuse, registered_type

from .resnet import ResNet


class NamedResNet(ResNet):
    """Base of ResNets with a certain interaction, whose arguments they take as their own.

    Args:
        depth (int): Depth, one of 18, 34, 50, 101, 152.
        interaction (dict, optional): Arguments of the interaction, as for
            :class:`ResNet`; those in ``kwargs`` take precedence.
            Defaults to None.
        **kwargs: Arguments of the interaction, and of :class:`ResNet`.

    Raises:
        TypeError: If an argument is of a wrong type.
        ValueError: If ``interaction`` is empty, or of another type than the
            network's.

    Attributes:
        interaction_type (str): The registered name of the interaction.
        interaction_arguments (Tuple[str]): Which arguments are the
            interaction's.
    """

    interaction_type: str
    interaction_arguments: Tuple[str, ...]

    def __init__(self, depth: int, interaction: Optional[dict] = None, **kwargs) -> None:
        check_type('interaction', interaction, dict, type(None))
        if interaction == {}:
            refuse(ValueError, 'interaction', 'None or a dict of arguments', interaction)
        given = dict(interaction or {})
        kind = given.setdefault('type', self.interaction_type)
        if registered_type(MODELS, kind) is not registered_type(MODELS, self.interaction_type):
            raise ValueError(
                f'interaction of mmdia.{type(self).__name__} must be of type '
                f'{self.interaction_type}, got {interaction!r}; '
                "write type='mmdia.ResNet' for another one, "
                'or interaction=None to drop what a base config has'
            )
        names = [name for name in self.interaction_arguments if name in kwargs]
        given.update((name, kwargs.pop(name)) for name in names)
        super().__init__(depth, given, **kwargs)


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
