"""Non-local attention."""

import torch
from mmcv.cnn import NonLocal2d
from mmengine.model import constant_init, normal_init
from torch import Tensor, nn

from mmdia.registry import MODELS
from mmdia.utils import check_bool, check_choice

from ..utils import record, reduce_channels
from .base import Attention


def recorded(weights: Tensor) -> Tensor:
    """Show weights of pairs of positions, and return them."""
    record('pair_weight', weights)
    return weights


class NonLocalBlock(NonLocal2d):
    """MMCV's block, which shows its weights.

    MMCV's own fails to initialize ``sub_sample``, and to train ``'concatenation'``.
    """

    def init_weights(self, std: float = 0.01) -> None:
        """Initialize the weights, the last ones with zero."""
        for name in ('g', 'theta', 'phi'):  # alone, or followed by pooling
            for module in getattr(self, name, nn.Identity()).modules():
                if isinstance(module, nn.Conv2d):
                    normal_init(module, std=std)
        constant_init(self.conv_out.conv, 0)

    def embedded_gaussian(self, theta: Tensor, phi: Tensor) -> Tensor:
        """See MMCV."""
        return recorded(super().embedded_gaussian(theta, phi))

    def gaussian(self, theta: Tensor, phi: Tensor) -> Tensor:
        """See MMCV."""
        return recorded(super().gaussian(theta, phi))

    def dot_product(self, theta: Tensor, phi: Tensor) -> Tensor:
        """See MMCV."""
        return recorded(super().dot_product(theta, phi))

    def concatenation(self, theta: Tensor, phi: Tensor) -> Tensor:
        """Compare positions by a learned vector.

        Args:
            theta (Tensor): Of shape (N, C, P, 1), P the number of positions.
            phi (Tensor): Of shape (N, C, 1, Q), Q the number of pooled ones.

        Returns:
            Tensor: Weights of shape (N, P, Q).
        """
        pairs = torch.cat(torch.broadcast_tensors(theta, phi), dim=1)
        return recorded(self.concat_project(pairs)[:, 0] / phi.shape[-1])


@MODELS.register_module()
class NonLocal(Attention):
    """Non-local attention: every position adds up what all positions offer.

    ``x + Wz (A g(x))`` with ``A = softmax(theta(x)^T phi(x))`` over positions
    and 1x1 convolutions theta, phi and g from C to C // r channels, Wz back;
    MMCV's ``NonLocal2d``. Wz starts at zero. It is not a gate, and autocast
    applies to it. Memory grows with the square of the number of positions:
    meant for late stages.

    Source: Wang et al., `Non-local Neural Networks
    <https://arxiv.org/abs/1711.07971>`_. As by default in MMCV, the products
    are divided by the root of C // r, and no batch norm follows Wz: the paper
    has it the other way round.

    Args:
        in_channels (int): Number of channels C.
        num_blocks (int): See :class:`Attention`. Defaults to 1.
        ratio (int): Reduction ratio r. Defaults to 2.
        mode (str): ``'embedded_gaussian'``, as above, ``'gaussian'``,
            ``'dot_product'`` or ``'concatenation'``: how positions are
            compared. Defaults to ``'embedded_gaussian'``.
        use_scale (bool): Whether to divide the products by the root of
            C // r. Defaults to True.
        sub_sample (bool): Whether phi and g are pooled to half the height and
            width, rounded down; maps need at least 2x2 positions. Defaults to
            False.
        **kwargs: See :class:`Attention`.

    Raises:
        TypeError: If ``ratio`` is not an integer.
        ValueError: If ``ratio`` is not in 1 ... C or ``mode`` not among the
            above.
    """

    def __init__(
        self,
        in_channels: int,
        num_blocks: int = 1,
        ratio: int = 2,
        mode: str = 'embedded_gaussian',
        use_scale: bool = True,
        sub_sample: bool = False,
        **kwargs,
    ) -> None:
        super().__init__(in_channels, num_blocks, **kwargs)
        modes = ('embedded_gaussian', 'gaussian', 'dot_product', 'concatenation')
        check_choice('mode', mode, modes)
        check_bool('use_scale', use_scale)
        check_bool('sub_sample', sub_sample)
        reduce_channels(in_channels, ratio)
        self.sub_sample = sub_sample
        self.block = NonLocalBlock(
            in_channels, reduction=ratio, mode=mode, use_scale=use_scale, sub_sample=sub_sample
        )

    def forward(self, x: Tensor, index: int = 0) -> Tensor:
        """See :meth:`Attention.forward`.

        Raises:
            ValueError: If the map is too small to be pooled by ``sub_sample``.
        """
        if self.sub_sample and min(x.shape[2:]) < 2:
            raise ValueError(
                f'sub_sample=True needs maps of at least 2x2 positions, got {tuple(x.shape[2:])}'
            )
        if x.shape[0] == 0:  # which MMCV cannot reshape
            return x + self.block(x.new_zeros(1, *x.shape[1:]))[:0].to(x.dtype)
        return self.block(x).to(x.dtype)

    def zero_gate(self) -> float:
        constant_init(self.block.conv_out.conv, 0)
        return 1.0  # what is added is zero
