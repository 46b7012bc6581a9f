"""Layer attention in its light form: a block attends to itself and the layer before."""

from typing import Any, Optional, Tuple

import torch
from torch import Tensor, nn

from mmdia.registry import MODELS

from ..ops import (
    affine_of,
    can_convolve_samples,
    can_normalize,
    central_weights,
    convolve_samples,
    has_hooks,
)
from ..utils import full_precision, global_avg_pool, scale_channels
from .layer_attention import LayerAttention, LayerAttentionUnit


class LightLayerAttention(LayerAttentionUnit):
    """What one block adds in MRLA-light: its own value and the layer before.

    ``norm(sigmoid(q . k / sqrt(d)) * V(x) + lambda * previous)`` with a learned
    lambda a channel; see :class:`LayerAttentionUnit` for q, k, V and d.

    Args:
        channels (int): Number of channels C.
        *args: See :class:`LayerAttentionUnit`.
        **kwargs: See :class:`LayerAttentionUnit`.
    """

    def __init__(self, channels: int, *args, **kwargs) -> None:
        super().__init__(channels, *args, **kwargs)
        self.previous_weight = nn.Parameter(torch.randn(channels, 1, 1))

    def forward(
        self,
        x: Tensor,
        pooled: Tensor,
        shortcut: Tensor,
        gate: Optional[Tensor] = None,
        excite: Optional[nn.Conv2d] = None,
    ) -> Tensor:
        """Add attention to the output of a plain block.

        What stands for the layer before is ``gate * shortcut + excite(shortcut)``.

        Args:
            x (Tensor): Output of the plain block, of shape (N, C, H, W).
            pooled (Tensor): Its mean over height and width, of shape (N, C).
            shortcut (Tensor): Shortcut of the block, of shape (N, C, H, W).
            gate (Tensor, optional): Gate of the shortcut, of shape (N, C).
                Defaults to 1.
            excite (nn.Conv2d, optional): Depthwise convolution of the
                shortcut. Defaults to None.

        Returns:
            Tensor: Output of the block, of shape (N, C, H, W).
        """
        with full_precision(x):
            weight = self.per_channel(torch.sigmoid(self.scores(*self.query_and_key(pooled))))
        convs = (self.value,) if excite is None else (self.value, excite)
        if can_convolve_samples(x, shortcut) and not has_hooks(*convs):
            return self.fold(x, weight, shortcut, gate, excite)
        earlier = shortcut if gate is None else scale_channels(shortcut, gate)
        if excite is not None:
            earlier = earlier + excite(shortcut)
        earlier = self.previous_weight.to(earlier.dtype) * earlier
        return x + self.drop_path(self.norm(scale_channels(self.value(x), weight) + earlier))

    def fold(
        self,
        x: Tensor,
        weight: Tensor,
        shortcut: Tensor,
        gate: Optional[Tensor],
        excite: Optional[nn.Conv2d],
    ) -> Tensor:
        """Do the same by two depthwise convolutions, of kernels that hold all factors.

        In evaluation they hold the norm and the sum with ``x`` as well.
        """
        factor = self.previous_weight.flatten()
        bias = None
        if can_normalize(self.norm) and not (self.norm.training or torch.is_grad_enabled()):
            scale, bias = affine_of(self.norm)
            bias = bias.expand_as(weight)
            weight, factor = weight * scale, factor * scale
        own = weight[:, :, None, None] * self.value.weight[:, 0]
        if bias is not None:
            own[:, :, 1, 1].add_(1)
        gated = factor.expand_as(weight) if gate is None else factor * gate
        if excite is None:
            term = convolve_samples((x, own), bias=bias)
            term = torch.addcmul(term, shortcut, gated[:, :, None, None].to(x.dtype))
        else:
            earlier = excite.weight[:, 0] * factor[:, None, None] + central_weights(gated, 3)
            term = convolve_samples((x, own), (shortcut, earlier), bias=bias)
        return term if bias is not None else x + self.drop_path(self.norm(term))


@MODELS.register_module()
class MRLALight(LayerAttention):
    """MRLA-light (MRLA-L): every block attends to itself and the one before.

    ``x = act(identity + branch)``, ``out = x + attention(x, identity)``; see
    :class:`LightLayerAttention`. The outputs are not rectified and may be
    negative.

    Source: Fang et al., `Cross-Layer Retrospective Retrieving via Layer
    Attention <https://arxiv.org/abs/2302.03985>`_, section "MRLA-light", as
    the released code has it: the shortcut stands for the attention output of
    the block before, one sigmoid for the softmax over a single score.

    Args:
        channels (int): Output channels of the blocks.
        num_blocks (int): Number of blocks.
        **kwargs: See :class:`LayerAttention`.
    """

    def build_unit(self, *args) -> LayerAttentionUnit:
        """See :meth:`LayerAttention.build_unit`."""
        return LightLayerAttention(*args)

    def attend(self, x: Tensor, identity: Tensor, state: Any, index: int) -> Tuple[Tensor, Any]:
        """See :meth:`LayerAttention.attend`; there is no state."""
        return self.attentions[index](x, global_avg_pool(x), identity), state

    def init_identity(self) -> None:
        """Zero the norms' weights, so that the attention adds nothing."""
        for attention in self.attentions:
            nn.init.zeros_(attention.norm.weight)
