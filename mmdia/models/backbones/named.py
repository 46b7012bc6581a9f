"""The methods of the papers under the names that their users know."""

from typing import Optional, Sequence

from mmdia.registry import MODELS

from .resnet import ResNet


@MODELS.register_module()
class DIAResNet(ResNet):
    """ResNet with DIA-LSTM: one LSTM a stage gates the channels of its blocks.

    A shorthand for :class:`ResNet` with ``interaction=dict(
    type='mmdia.DIALSTM', ...)``; see :class:`~mmdia.models.DIALSTM`.

    Args:
        depth (int): Depth, one of 18, 34, 50, 101, 152.
        ratio (int): Reduction ratio r of the LSTM. Defaults to 20.
        activation (str): Output activation of the LSTM: ``'sigmoid'``,
            ``'tanh'`` or ``'relu'``. Defaults to ``'sigmoid'``.
        num_cells (int): Number of LSTMs on top of each other. Defaults to 1.
        extra_norm (bool): Whether branches pass one more norm before they are
            pooled and gated. Defaults to False.
        stages (Sequence[bool], optional): Which stages have an LSTM. Defaults
            to all.
        identity_init (bool): Whether to start from what the plain network
            computes. Defaults to False.
        **kwargs: See :class:`ResNet`.
    """

    def __init__(
        self,
        depth: int,
        ratio: int = 20,
        activation: str = 'sigmoid',
        num_cells: int = 1,
        extra_norm: bool = False,
        stages: Optional[Sequence[bool]] = None,
        identity_init: bool = False,
        **kwargs,
    ) -> None:
        interaction = dict(
            type='mmdia.DIALSTM',
            ratio=ratio,
            activation=activation,
            num_cells=num_cells,
            extra_norm=extra_norm,
            stages=stages,
            identity_init=identity_init,
        )
        super().__init__(depth, interaction=interaction, **kwargs)


@MODELS.register_module()
class DLAResNet(ResNet):
    """ResNet with dynamic layer attention in its light form, DLA-L.

    A shorthand for :class:`ResNet` with ``interaction=dict(
    type='mmdia.DLALight', ...)``; see :class:`~mmdia.models.DLALight`.

    Args:
        depth (int): Depth, one of 18, 34, 50, 101, 152.
        ratio (int): Reduction ratio r of the recurrent cell. Defaults to 20.
        cell (dict, optional): Config of another cell than the DSU. Defaults
            to None.
        head_channels (int): Channels of an attention head. Defaults to 32.
        excite (bool): Whether the shortcut passes a depthwise convolution too.
            Defaults to True.
        attention_drop_path_rate (float): Probability to drop the attention
            term of a sample in training. Defaults to 0.
        stages (Sequence[bool], optional): Which stages have attention.
            Defaults to all.
        identity_init (bool): Whether to start from what the plain network
            computes. Defaults to False.
        **kwargs: See :class:`ResNet`.
    """

    def __init__(
        self,
        depth: int,
        ratio: int = 20,
        cell: Optional[dict] = None,
        head_channels: int = 32,
        excite: bool = True,
        attention_drop_path_rate: float = 0.0,
        stages: Optional[Sequence[bool]] = None,
        identity_init: bool = False,
        **kwargs,
    ) -> None:
        interaction = dict(
            type='mmdia.DLALight',
            ratio=ratio,
            cell=cell,
            head_channels=head_channels,
            excite=excite,
            attention_drop_path_rate=attention_drop_path_rate,
            stages=stages,
            identity_init=identity_init,
        )
        super().__init__(depth, interaction=interaction, **kwargs)


@MODELS.register_module()
class RLAResNet(ResNet):
    """ResNet with Recurrent Layer Attention: one LSTM weighs all blocks.

    A shorthand for :class:`ResNet` with ``interaction=dict(type='mmdia.RLA',
    ...)``; see :class:`~mmdia.models.RLA`. Not Recurrent Layer Aggregation.

    Args:
        depth (int): Depth, one of 18, 34, 50, 101, 152.
        context_channels (int, optional): Length N of the LSTM's input.
            Defaults to the median of the blocks' channels.
        hidden_channels (int, optional): Size M of the LSTM. Defaults to half
            of ``context_channels``.
        ratio (int, optional): Reduction ratio r of the heads. Defaults to 8
            where M < 512, else 16.
        gate (str): ``'scalar'`` or ``'vector'``. Defaults to ``'scalar'``.
        context (str): ``'gap'``, ``'gmp'``, ``'gap+mlp'`` or ``'gmp+mlp'``.
            Defaults to ``'gap'``.
        attention (dict, optional): Config of an attention within each block.
            Defaults to None.
        position (str): ``'branch'`` or ``'sum'``. Defaults to ``'branch'``.
        upsample (str): ``'nearest'`` or ``'linear'``. Defaults to
            ``'nearest'``.
        identity_init (bool): Whether to start from what the plain network
            computes. Defaults to False.
        **kwargs: See :class:`ResNet`.
    """

    def __init__(
        self,
        depth: int,
        context_channels: Optional[int] = None,
        hidden_channels: Optional[int] = None,
        ratio: Optional[int] = None,
        gate: str = 'scalar',
        context: str = 'gap',
        attention: Optional[dict] = None,
        position: str = 'branch',
        upsample: str = 'nearest',
        identity_init: bool = False,
        **kwargs,
    ) -> None:
        interaction = dict(
            type='mmdia.RLA',
            context_channels=context_channels,
            hidden_channels=hidden_channels,
            ratio=ratio,
            gate=gate,
            context=context,
            attention=attention,
            position=position,
            upsample=upsample,
            identity_init=identity_init,
        )
        super().__init__(depth, interaction=interaction, **kwargs)
