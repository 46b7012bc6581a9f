"""Sizes of kernels."""

import math

from mmdia.utils import check_int


def channel_kernel_size(channels: int) -> int:
    """Kernel size of a convolution across channels: odd, growing with log2(C).

    Source: eq. 12 of `ECA-Net <https://arxiv.org/abs/1910.03151>`_, with
    gamma = 2 and b = 1.

    Args:
        channels (int): Number of channels C.

    Returns:
        int: The kernel size.
    """
    size = int((math.log2(channels) + 1) / 2)
    return size if size % 2 else size + 1


def check_kernel_size(kernel_size: int) -> None:
    """Check that a convolution can be padded on both sides alike.

    Args:
        kernel_size (int): The kernel size.

    Raises:
        TypeError: If it is not an integer.
        ValueError: If it is not positive and odd.
    """
    check_int('kernel_size', kernel_size)
    if kernel_size % 2 == 0:
        raise ValueError(f'kernel_size must be odd, got {kernel_size}')
