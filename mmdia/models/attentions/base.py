"""What all attentions have in common."""

from typing import Optional, Union

from mmengine.model import BaseModule
from torch import Tensor

from mmdia.utils import check_init_cfg, check_int, check_layer_cfg

from ..utils import full_precision, like_parameters, record, scale_channels


class Attention(BaseModule):
    """Recalibrates a feature map: what goes in and what comes out have one shape.

    A module serves one block, or it is shared by several. Shared, its
    parameters are the same for all of them; but norms that keep statistics
    are one per block, chosen by ``index``, since the blocks' statistics differ
    and accuracy collapses without: see section 7.3 of `Layer-wise Shared
    Attention Network <https://arxiv.org/abs/2210.16101>`_.

    Being called with the map alone, it also serves as a plugin of the
    backbones of MMDetection and MMSegmentation:
    ``plugins=[dict(cfg=dict(type='mmdia.SE'), position='after_conv3')]``.

    Args:
        in_channels (int): Number of channels C.
        num_blocks (int): Number of blocks that share the module.
            Defaults to 1.
        norm_cfg (dict): Config of norms that keep statistics, where there
            are any. Defaults to ``dict(type='BN')``.
        init_cfg (dict | list[dict], optional): Initialization config.
            Defaults to None.

    Raises:
        TypeError: If an argument is of a wrong type.
        ValueError: If an argument has a value that is not allowed.
    """

    def __init__(
        self,
        in_channels: int,
        num_blocks: int = 1,
        norm_cfg: dict = dict(type='BN'),
        init_cfg: Optional[Union[dict, list]] = None,
    ) -> None:
        check_int('in_channels', in_channels)
        check_int('num_blocks', num_blocks)
        check_layer_cfg('norm_cfg', norm_cfg)
        check_init_cfg('init_cfg', init_cfg)
        super().__init__(init_cfg)
        self.in_channels = in_channels
        self.num_blocks = num_blocks
        self.norm_cfg = norm_cfg

    def forward(self, x: Tensor, index: int = 0) -> Tensor:
        """Recalibrate a feature map.

        Args:
            x (Tensor): Feature map of shape (N, C, H, W).
            index (int): Number of the block among those that share the
                module. Defaults to 0.

        Returns:
            Tensor: Recalibrated map, of the shape and dtype of ``x``.
        """
        raise NotImplementedError

    def zero_gate(self) -> float:
        """Zero the last layers, and return by what the input is then multiplied.

        That is a power of two, which is exact in any precision.
        """
        raise NotImplementedError

    def like_weights(self, features: Tensor) -> Tensor:
        """Features in the dtype of the weights; pooled ones have single precision."""
        return like_parameters(self, features)


class ChannelAttention(Attention):
    """Base of attentions that multiply every channel by a gate: see :meth:`gate`.

    Args:
        *args: See :class:`Attention`.
        **kwargs: See :class:`Attention`.
    """

    def gate(self, x: Tensor, index: int) -> Tensor:
        """Compute the gates of all channels; called with autocast off.

        Args:
            x (Tensor): Feature map of shape (N, C, H, W).
            index (int): See :meth:`Attention.forward`.

        Returns:
            Tensor: Gates of shape (N, C).
        """
        raise NotImplementedError

    def forward(self, x: Tensor, index: int = 0) -> Tensor:
        with full_precision(x):
            gate = self.gate(x, index)
        record('gate', gate)
        return scale_channels(x, gate)
