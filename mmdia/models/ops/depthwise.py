"""Depthwise convolutions with kernels of their own for every sample."""

from typing import Optional

import torch.nn.functional as F
from torch import Tensor

from .eager import is_eager


def can_convolve_samples(*maps: Tensor) -> bool:
    """Whether :func:`convolve_samples` takes maps, and is as fast as one kernel for all.

    That was measured on CPUs, in the default memory format.
    """
    return is_eager() and all(x.device.type == 'cpu' and x.is_contiguous() for x in maps)


def convolve_samples(x: Tensor, kernels: Tensor, bias: Optional[Tensor] = None) -> Tensor:
    """A depthwise convolution whose kernels differ from sample to sample.

    What scales channels before or after a depthwise convolution can scale its
    kernels instead, and what is added of its input their central weights:
    passes over maps become products of a few numbers.

    Args:
        x (Tensor): Map of shape (N, C, H, W); see :func:`can_convolve_samples`.
        kernels (Tensor): Kernels of shape (N, C, K, K) with K odd.
        bias (Tensor, optional): Biases of shape (C,). Defaults to None.

    Returns:
        Tensor: Map of shape (N, C, H, W).
    """
    kernels = kernels.flatten(0, 1)[:, None].to(x.dtype)
    bias = None if bias is None else bias.repeat(x.shape[0]).to(x.dtype)
    groups, padding = kernels.shape[0], kernels.shape[-1] // 2
    y = F.conv2d(x.flatten(0, 1)[None], kernels, bias, padding=padding, groups=groups)
    return y.view_as(x)


def central_weights(weights: Tensor, size: int) -> Tensor:
    """Kernels of zeros but for their centres, which multiply a map by weights.

    Args:
        weights (Tensor): Weights of shape (..., C).
        size (int): Size K of the kernels.

    Returns:
        Tensor: Kernels of shape (..., C, K, K).
    """
    return F.pad(weights[..., None, None], (size // 2,) * 4)
