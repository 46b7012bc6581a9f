"""Non-local attention."""

from mmcv.cnn import NonLocal2d
from torch import Tensor

from mmdia.registry import MODELS

from ..utils import reduce_channels
from .base import Attention, zero_parameters


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
            width. Defaults to False.
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
        reduce_channels(in_channels, ratio)
        self.block = NonLocal2d(
            in_channels, reduction=ratio, mode=mode, use_scale=use_scale, sub_sample=sub_sample
        )

    def forward(self, x: Tensor, index: int = 0) -> Tensor:
        """See :meth:`Attention.forward`."""
        return self.block(x).to(x.dtype)

    def zero_gate(self) -> float:
        """See :meth:`Attention.zero_gate`."""
        zero_parameters(self.block.conv_out)
        return 1.0  # what is added is zero
