"""Style-based recalibration."""

import torch
from mmengine.model import constant_init
from mmengine.utils.dl_utils.parrots_wrapper import _InstanceNorm
from torch import Tensor, nn

from mmdia.registry import MODELS

from ..utils import build_norm_layer, check_affine, single_or_double
from .base import ChannelAttention


@MODELS.register_module()
class SRM(ChannelAttention):
    """Style-based recalibration: a gate per channel from its mean and deviation.

    ``x * sigmoid(BN(w1 * mean(x) + w2 * std(x)))``, both over height and
    width, with two weights a channel.

    Source: Lee et al., `SRM: A Style-based Recalibration Module for
    Convolutional Neural Networks <https://arxiv.org/abs/1903.10829>`_. The
    standard deviation divides by H * W, as in the paper, and so is defined for
    a single position; the released code divides by H * W - 1. The released
    code starts with zero weights, on whose outputs batch statistics are
    degenerate; here they are uniform, as those of a linear layer.

    In training, the batch norm needs more than one sample, or statistics that
    are synchronised or fixed.

    Args:
        in_channels (int): Number of channels C.
        num_blocks (int): Number of blocks that share the weights; each has a
            norm of its own. Defaults to 1.
        **kwargs: See :class:`Attention`.

    Raises:
        ValueError: If ``norm_cfg`` is that of an instance norm, for which there
            is nothing to normalize in a single number.
    """

    eps = 1e-5  # keeps the derivative of the square root finite

    def __init__(self, in_channels: int, num_blocks: int = 1, **kwargs) -> None:
        super().__init__(in_channels, num_blocks, **kwargs)
        self.weight = nn.Parameter(torch.empty(in_channels, 2))
        self.reset_parameters()
        self.norms = nn.ModuleList(
            build_norm_layer(self.norm_cfg, in_channels)[1] for _ in range(num_blocks)
        )
        if isinstance(self.norms[0], _InstanceNorm):
            raise ValueError(
                f'norm_cfg of SRM must not be that of an instance norm, got {self.norm_cfg!r}'
            )

    def reset_parameters(self) -> None:
        """Give the weights of mean and deviation their first values."""
        nn.init.uniform_(self.weight, -(0.5**0.5), 0.5**0.5)

    def gate(self, x: Tensor, index: int) -> Tensor:
        variance, mean = torch.var_mean(x.to(single_or_double(x)), (2, 3), correction=0)
        style = torch.stack((mean, (variance + self.eps).sqrt()), dim=2)
        score = (self.like_weights(style) * self.weight).sum(2)
        return torch.sigmoid(self.norms[index](score[:, :, None, None]).flatten(1))

    def zero_gate(self) -> float:
        check_affine(self.norms[0], self.norm_cfg)
        for norm in self.norms:
            constant_init(norm, 0)
        return 0.5
