"""Residual blocks with norm and activation before each convolution."""

from typing import Optional, Tuple

from torch import Tensor, nn

from .blocks import BasicBlock, Bottleneck, ResidualBlock


class PreActivationBlock(ResidualBlock):
    """Base of blocks whose sum is not activated; see :class:`ResidualBlock`.

    The shortcut reads the input of the block as it is, and its projection has
    no norm.

    Source: He et al., `Identity Mappings in Deep Residual Networks
    <https://arxiv.org/abs/1603.05027>`_, Fig. 4e. Projections read the input
    before its norm, as in the released code of DIANet.
    """

    preactivation = True

    def projection(self, in_channels: int, out_channels: int) -> Tuple[nn.Module, ...]:
        return super().projection(in_channels, out_channels)[:-1]

    def preactivate(self, x: Tensor, index: int) -> Tensor:
        """Apply the norm before a convolution, and the activation."""
        return self.act(getattr(self, self.norm_names[index - 1])(x))

    def _branch(self, x: Tensor, feed: Optional[Tensor], activated: bool = False) -> Tensor:
        x = self.first_conv(x if activated else self.preactivate(x, 1), feed)
        for index in range(2, self.num_convs + 1):
            x = self.preactivate(x, index)
            if index == self.num_convs:
                x = self.dropout(x)
            x = getattr(self, f'conv{index}')(x)
        return self.drop_path(x)


class PreActivationBasicBlock(PreActivationBlock, BasicBlock):
    """Two 3x3 convolutions; see :class:`PreActivationBlock`."""


class PreActivationBottleneck(PreActivationBlock, Bottleneck):
    """1x1, 3x3 and 1x1 convolutions; see :class:`PreActivationBlock`."""


class WideBlock(PreActivationBasicBlock):
    """Two 3x3 convolutions; projections read the activated input as well.

    Source: Zagoruyko and Komodakis, `Wide Residual Networks
    <https://arxiv.org/abs/1605.07146>`_, Fig. 1d.
    """

    def forward(self, x: Tensor, feed: Optional[Tensor] = None) -> Tuple[Tensor, Tensor]:
        if self.downsample is not None:
            x = self.preactivate(x, 1)
        return super().forward(x, feed)

    def _branch(self, x: Tensor, feed: Optional[Tensor]) -> Tensor:
        return super()._branch(x, feed, activated=self.downsample is not None)
