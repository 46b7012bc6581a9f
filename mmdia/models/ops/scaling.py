"""Gradients of maps that are scaled channel by channel."""

from typing import Optional, Tuple

import torch
from torch import Tensor

from ..utils import sum_pixels

Affine = Tuple[Tensor, Tensor]


def scaling_gradients(
    grad: Tensor, x: Tensor, factor: Optional[Tensor] = None, affine: Optional[Affine] = None
) -> Tuple[Optional[Tensor], Tensor]:
    """Gradients of ``y * factor``, where y is a map x, or ``x * scale + shift``.

    Args:
        grad (Tensor): Gradient of the product, of shape (N, C, H, W).
        x (Tensor): The map x of shape (N, C, H, W).
        factor (Tensor, optional): The factor, of shape (N, C), in the dtype of
            the maps. Defaults to None: the gradient of y is not needed.
        affine (Tuple[Tensor], optional): Scale and shift, of shape (C,) each.
            Defaults to None.

    Returns:
        Tuple[Tensor, Tensor]: Gradients of y, of shape (N, C, H, W), and of
        the factor, of shape (N, C).
    """
    if is_dense(grad, x):
        grad_y, products, sums = batch_norm_gradients(grad, x, factor)
    else:
        product = grad * x
        products = sum_pixels(product)
        sums = None if affine is None else sum_pixels(grad)
        grad_y = None
        if factor is not None:
            grad_y = torch.mul(grad, factor[:, :, None, None], out=product)
    if affine is not None:
        scale, shift = affine
        products = torch.addcmul(products * scale, sums, shift)
    return grad_y, products


def is_dense(grad: Tensor, x: Tensor) -> bool:
    """Whether :func:`batch_norm_gradients` takes maps; it was measured on CPUs."""
    return (
        grad.device.type == 'cpu'
        and grad.dtype == x.dtype in (torch.float32, torch.float64)
        and grad.is_contiguous()
        and x.is_contiguous()
    )


def batch_norm_gradients(
    grad: Tensor, x: Tensor, factor: Optional[Tensor] = None
) -> Tuple[Optional[Tensor], Tensor, Tensor]:
    """``grad * factor``, and sums over the pixels of ``grad * x`` and ``grad``, in one go.

    They are what a batch norm in evaluation has for gradients, with a channel
    for every channel of every sample, the mean 0 and the variance 1.
    """
    size = (1, -1, *x.shape[2:])
    zeros = x.new_zeros(x.shape[0] * x.shape[1])
    statistics = zeros, torch.ones_like(zeros), None, None, False, 1e-30
    weight = None if factor is None else factor.flatten()
    grad_y, products, sums = torch.ops.aten.native_batch_norm_backward(
        grad.view(size), x.view(size), weight, *statistics, [factor is not None, True, True]
    )
    grad_y = None if factor is None else grad_y.view_as(x)
    return grad_y, products.view(x.shape[:2]), sums.view(x.shape[:2])
