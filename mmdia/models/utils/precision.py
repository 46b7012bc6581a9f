"""Arithmetic that must not lose precision under automatic mixed precision."""

from contextlib import nullcontext
from itertools import chain
from typing import ContextManager

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from .eager import is_compiling, is_eager


def is_autocast_on(device: str) -> bool:
    """Whether autocast is, or may be, switched on for a type of device."""
    if not hasattr(torch.amp, 'is_autocast_available'):
        return device in ('cpu', 'cuda')  # torch before 2.4
    if is_compiling():  # the compiler cannot follow the question below
        known = device != 'meta'
    else:
        known = torch.amp.is_autocast_available(device)
    return known and torch.is_autocast_enabled(device)


def full_precision(x: Tensor) -> ContextManager:
    """Context that switches autocast off for the device of a tensor.

    Gates are products of a few sigmoids of pooled features: cheap to compute
    and easily spoiled by half precision.

    Args:
        x (Tensor): Any tensor on the device in question.

    Returns:
        ContextManager: The context.
    """
    if not isinstance(x, Tensor):  # a proxy of symbolic tracing, which knows no autocast
        return nullcontext()
    device = x.device.type
    return torch.autocast(device, enabled=False) if is_autocast_on(device) else nullcontext()


def single_or_double(x: Tensor) -> torch.dtype:
    """Double precision for a tensor that has it, single precision for others."""
    if not isinstance(x, Tensor):  # a proxy of symbolic tracing, whose dtype is unknown
        return x.dtype
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def like_parameters(module: nn.Module, x: Tensor) -> Tensor:
    """A tensor in the dtype of a module's parameters; as it is where there are none."""
    # Where FSDP has put all parameters into one, weights are views of it, and no parameters.
    weights = (getattr(part, 'weight', None) for part in module.modules())
    for parameter in chain(module.parameters(), weights):
        if isinstance(parameter, Tensor) and parameter.is_floating_point():
            return x.to(parameter.dtype)
    return x


class PixelSum(torch.autograd.Function):
    """Sum over height and width of a map in half precision.

    Autograd would write the gradient as a whole map, and not in the memory format of ``x``.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        """Compute the sum; see :func:`sum_pixels`."""
        ctx.like = torch.empty_like(x, device='meta')
        return x.sum((2, 3), dtype=single_or_double(x))

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> Tensor:
        """Give every pixel the gradient of its sum."""
        return as_factor(grad, ctx.like).expand(ctx.like.shape)


def sum_pixels(x: Tensor) -> Tensor:
    """Sum over height and width, in single precision or better.

    In half precision the sum over a large map overflows.

    Args:
        x (Tensor): Feature map of shape (N, C, H, W).

    Returns:
        Tensor: Sums of shape (N, C), in single precision, or in double
        precision where ``x`` is.
    """
    if torch.is_grad_enabled() and is_eager(x) and x.element_size() < 4:
        return PixelSum.apply(x)
    return x.sum((2, 3), dtype=single_or_double(x))


def global_avg_pool(x: Tensor) -> Tensor:
    """Mean over height and width, in single precision or better.

    Args:
        x (Tensor): Feature map of shape (N, C, H, W).

    Returns:
        Tensor: Pooled features of shape (N, C); see :func:`sum_pixels`.
    """
    # The backward pass of a mean would write a whole map of gradients.
    return sum_pixels(x) / (x.shape[2] * x.shape[3])


def scale_channels(x: Tensor, gate: Tensor) -> Tensor:
    """Multiply every channel of every sample by its gate, in the map's dtype.

    Args:
        x (Tensor): Feature map of shape (N, C, H, W).
        gate (Tensor): Gate of shape (N, C), or (N, 1) for one gate per sample.

    Returns:
        Tensor: Scaled map of shape (N, C, H, W).
    """
    return x * as_factor(gate, x)


def repeat_entries(x: Tensor, times: int) -> Tensor:
    """Repeat every entry of the last dimension, (..., C), side by side, (..., C * times)."""
    # Exporters to ONNX misread repeat_interleave.
    return (x[..., None] + x.new_zeros(times)).flatten(-2)


def as_factor(gate: Tensor, x: Tensor) -> Tensor:
    """Gates (..., N, C) or (..., N, 1) as factors of a map: of its dtype, and of all pixels."""
    return gate.to(x.dtype)[..., None, None]
