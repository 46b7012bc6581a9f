"""Layer attention in its light form: a block attends to itself and the layer before."""

from typing import Any, ContextManager, Optional, Tuple

import torch
from torch import Tensor, nn

from mmdia.registry import MODELS

from ..ops import (
    SAVE_ALL,
    affine_of,
    can_convolve_samples,
    can_normalize,
    central_weights,
    convolve_samples,
    has_hooks,
)
from ..utils import check_affine, full_precision, global_avg_pool, scale_channels
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
        saving: ContextManager = SAVE_ALL,
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
                shortcut, which goes with a gate. Defaults to None.
            saving (ContextManager): See :meth:`LayerAttention.attend`.

        Returns:
            Tensor: Output of the block, of shape (N, C, H, W).
        """
        with full_precision(x):
            weight = self.per_channel(torch.sigmoid(self.scores(*self.query_and_key(pooled))))
        convs = (self.value,) if excite is None else (self.value, excite)
        if can_convolve_samples(x, shortcut) and not has_hooks(*convs):
            return self.fold(x, weight, shortcut, gate, excite, saving)
        earlier = shortcut if gate is None else scale_channels(shortcut, gate)
        if excite is not None:
            earlier = earlier + excite(shortcut)
        with saving:
            value = self.value(x)
        term = scale_channels(value, weight) + self.previous_weight.to(x.dtype) * earlier
        return x + self.drop_path(self.norm(term))

    def fold(
        self,
        x: Tensor,
        weight: Tensor,
        shortcut: Tensor,
        gate: Optional[Tensor],
        excite: Optional[nn.Conv2d],
        saving: ContextManager,
    ) -> Tensor:
        """Do the same by two depthwise convolutions, of kernels that hold all factors.

        In evaluation they hold the norm and the sum with ``x`` as well.
        """
        own, factor, bias = self.value.weight[:, 0], self.previous_weight, None
        if can_normalize(self.norm) and not (self.norm.training or torch.is_grad_enabled()):
            scale, bias = affine_of(self.norm)
            own, factor = (kernel * scale[:, None, None] for kernel in (own, factor))
        own = weight[:, :, None, None] * own
        if bias is not None:
            own[:, :, 1, 1].add_(1)
        with saving:
            term = convolve_samples(x, own, bias)
        if excite is not None:
            earlier = factor * (excite.weight[:, 0] + central_weights(gate, 3))
            term = term.add_(convolve_samples(shortcut, earlier))
        else:
            factor = factor if gate is None else factor * gate[:, :, None, None]
            term = torch.addcmul(term, shortcut, factor.to(x.dtype))
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

    Raises:
        ValueError: If ``identity_init`` is asked for and the norm has no
            weights.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if self.identity_init:
            check_affine(self.attentions[0].norm, self.norm_cfg)

    def build_unit(self, *args) -> LayerAttentionUnit:
        """See :meth:`LayerAttention.build_unit`."""
        return LightLayerAttention(*args)

    def attend(
        self, x: Tensor, identity: Tensor, state: Any, index: int, saving: ContextManager = SAVE_ALL
    ) -> Tuple[Tensor, Any]:
        """See :meth:`LayerAttention.attend`; there is no state."""
        return self.attentions[index](x, global_avg_pool(x), identity, saving=saving), state

    def init_identity(self) -> None:
        """Zero the norms' weights, so that the attention adds nothing."""
        for attention in self.attentions:
            nn.init.zeros_(attention.norm.weight)
