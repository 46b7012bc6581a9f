"""The interface of layer interactions, and the plain residual sum."""

from typing import Any, Optional, Sequence, Tuple, Union

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmdia.registry import MODELS
from mmdia.utils import check_bool, check_init_cfg, check_int, check_ints, check_layer_cfg

from ..utils import build_activation_layer


@MODELS.register_module()
class LayerInteraction(BaseModule):
    """Combines the two halves of every block; this one as a plain ResNet does.

    A residual block computes a branch and a shortcut. How they become the
    block's output, with or without memory of earlier blocks, is the
    interaction's business, and what sets the methods of this package apart.

    The memory is a value that the caller hands from block to block. Nothing
    is kept on the module between two calls.

    Args:
        channels (int | Sequence[int]): Output channels of the blocks of the
            stage; one number per stage where ``scope`` is ``'network'``.
        num_blocks (int | Sequence[int]): Number of blocks of the stage; one
            number per stage where ``scope`` is ``'network'``.
        norm_cfg (dict): Config of normalization layers.
            Defaults to ``dict(type='BN')``.
        act_cfg (dict, optional): Config of the activation after the sum; None
            for none, as in pre-activation networks.
            Defaults to ``dict(type='ReLU', inplace=True)``.
        identity_init (bool): Whether the network starts as exactly what the
            plain one computes, for a pretrained plain trunk. By default weights
            start as in the paper, for training from scratch. Weights that are
            loaded later decide for themselves: the state dict says how they
            started.
        init_cfg (dict | list[dict], optional): Initialization config.
            Defaults to None.

    Attributes:
        added_channels (int): How many channels :meth:`finish` adds to the
            output of the network.
        uses_recipe (bool): Whether memory is saved where a branch can be
            computed again; see :func:`mmdia.models.ops.normalize_with_recipe`.
        scope (str): ``'stage'`` for one instance a stage that starts without
            memory, ``'network'`` for one instance whose memory crosses stages.
    """

    scope = 'stage'
    added_channels = 0
    uses_recipe = False

    def __init__(
        self,
        channels: Union[int, Sequence[int]],
        num_blocks: Union[int, Sequence[int]],
        norm_cfg: dict = dict(type='BN'),
        act_cfg: Optional[dict] = dict(type='ReLU', inplace=True),
        identity_init: bool = False,
        init_cfg: Optional[Union[dict, list]] = None,
    ) -> None:
        if self.scope == 'network':
            check_ints('channels', channels)
            check_ints('num_blocks', num_blocks, length=len(channels))
        else:
            check_int('channels', channels)
            check_int('num_blocks', num_blocks)
        check_layer_cfg('norm_cfg', norm_cfg)
        check_layer_cfg('act_cfg', act_cfg, optional=True)
        check_bool('identity_init', identity_init)
        check_init_cfg('init_cfg', init_cfg)
        super().__init__(init_cfg)
        self.channels = channels
        self.num_blocks = num_blocks
        self.norm_cfg = norm_cfg
        self.identity_init = identity_init
        self.act = nn.Identity() if act_cfg is None else build_activation_layer(act_cfg)

    def prepare(self, blocks: Sequence[nn.Module]) -> None:
        """Prepare for the blocks, before the first call; by default nothing.

        Args:
            blocks (Sequence[ResidualBlock]): The blocks of the scope, in their
                order.
        """

    def feed(self, state: Any, index: int) -> Optional[Tensor]:
        """What is added to the output of a block's first convolution; by default nothing.

        Args:
            state (Any): What the block before returned as state; None before
                the first block.
            index (int): Number of the block within the scope, from 0.

        Returns:
            Tensor, optional: Output of a convolution from
            :meth:`ResidualBlock.build_reader`.
        """
        return None

    def forward(
        self, branch: Tensor, identity: Tensor, state: Any, index: int
    ) -> Tuple[Tensor, Any]:
        """Combine the halves of one block.

        Args:
            branch (Tensor): Output of the residual branch after its last
                norm, of shape (N, C, H, W).
            identity (Tensor): Output of the shortcut, of shape (N, C, H, W).
            state (Any): What the block before returned as state; None before
                the first block.
            index (int): Number of the block within the scope, from 0.

        Returns:
            Tuple[Tensor, Any]: Output of the block, of shape (N, C, H, W), and
            the state for the next block.
        """
        return self.act(identity + branch), state

    def finish(self, x: Tensor, state: Any) -> Tensor:
        """What the network returns of its last stage; by default its output.

        Called where ``scope`` is ``'network'``.

        Args:
            x (Tensor): Output of the last stage, of shape (N, C, H, W).
            state (Any): The state after the last block.

        Returns:
            Tensor: Feature map of shape (N, C + added_channels, H, W).
        """
        return x

    def init_weights(self) -> None:
        """Initialize the weights, once."""
        if self.is_init:
            return
        super().init_weights()
        if self.identity_init:
            self.init_identity()

    def init_identity(self) -> None:
        """Set the weights so that ``forward`` returns the plain sum.

        This is what ``identity_init`` asks for. Networks call it when they are
        built, and :meth:`init_weights` calls it.
        """
