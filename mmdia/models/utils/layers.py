"""MMCV's builders of layers, with errors that name the config."""

from contextlib import contextmanager
from itertools import chain
from typing import Any, Iterator, Optional, Sequence, Set, Tuple, Union

import torch
from mmcv import cnn
from torch import Tensor, nn

from mmdia.utils import check_layer_cfg

# What check_map has found right; a network has the same few layers many times.
RIGHT: Set[tuple] = set()


@contextmanager
def naming(argument: str, cfg: Any, what: str) -> Iterator[None]:
    """Let errors say which config could not be built."""
    try:
        yield
    except Exception as error:
        raise ValueError(
            f'{argument} must be the config of {what}, got {cfg!r}: {error}'
        ) from error


@torch.no_grad()
def check_map(layer: nn.Module, shape: Sequence[int], expected: Sequence[int]) -> None:
    """Check that a layer of PyTorch or MMCV computes finite maps; ``shape`` is that of the input.

    Others may need a certain device, or have other reasons not to run here.
    """
    x = torch.zeros(*shape)
    tensors = chain(layer.parameters(), layer.buffers())
    is_here = all(tensor.device == x.device for tensor in tensors)
    description = repr(layer), shape, x.device, type(x)
    if description in RIGHT or not (
        is_here and type(layer).__module__.startswith(('torch.nn', 'mmcv.cnn'))
    ):
        return
    training = layer.training
    out = layer.eval()(x)
    layer.train(training)
    if out.shape != torch.Size(expected):
        raise ValueError(f'a map of shape {tuple(shape)} becomes one of {tuple(out.shape)}')
    # Tensors of other types, as of FakeTensorMode, have no values.
    if type(out) is Tensor and not (out.is_meta or out.isfinite().all()):
        raise ValueError('zeros become infinite or not a number')
    RIGHT.add(description)


def build_norm_layer(
    cfg: dict, channels: int, postfix: Union[int, str] = ''
) -> Tuple[str, nn.Module]:
    """Build a norm of feature maps.

    Args:
        cfg (dict): Its config.
        channels (int): Number of channels.
        postfix (int | str): What follows the kind of the norm in its name.
            Defaults to ''.

    Returns:
        Tuple[str, nn.Module]: Name, such as ``'bn1'``, and norm.

    Raises:
        TypeError: If ``cfg`` is not a dict.
        ValueError: If it is not the config of a norm of so many channels.
    """
    check_layer_cfg('norm_cfg', cfg)
    with naming('norm_cfg', cfg, f'a norm of maps of {channels} channels'):
        name, norm = cnn.build_norm_layer(cfg, channels, postfix)
        check_map(norm, (2, channels, 2, 2), (2, channels, 2, 2))
    return name, norm


def check_affine(norm: nn.Module, cfg: dict) -> None:
    """Check that a norm has a weight, which can be zeroed to start as the plain network.

    Args:
        norm (nn.Module): The norm.
        cfg (dict): Its config.

    Raises:
        ValueError: If it has none.
    """
    if getattr(norm, 'weight', None) is None:
        raise ValueError(
            f'norm_cfg must be that of a norm with weights for identity_init=True, got {cfg!r}'
        )


def build_activation_layer(cfg: dict) -> nn.Module:
    """Build an activation.

    Args:
        cfg (dict): Its config.

    Returns:
        nn.Module: The activation.

    Raises:
        TypeError: If ``cfg`` is not a dict.
        ValueError: If it is not the config of an activation.
    """
    check_layer_cfg('act_cfg', cfg)
    with naming('act_cfg', cfg, 'an activation'):
        act = cnn.build_activation_layer(cfg)
        check_map(act, (1, 2, 2, 2), (1, 2, 2, 2))
    return act


def build_conv_layer(
    cfg: Optional[dict],
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    argument: str = 'conv_cfg',
    **kwargs,
) -> nn.Module:
    """Build a convolution.

    Args:
        cfg (dict, optional): Its config; None for :class:`torch.nn.Conv2d`.
        in_channels (int): Channels of its input.
        out_channels (int): Channels of its output.
        kernel_size (int): Kernel size.
        argument (str): What messages call the config.
            Defaults to ``'conv_cfg'``.
        **kwargs: Further arguments of :class:`torch.nn.Conv2d`.

    Returns:
        nn.Module: The convolution.

    Raises:
        TypeError: If ``cfg`` is not a dict.
        ValueError: If it is not the config of a convolution of maps.
    """
    check_layer_cfg(argument, cfg, optional=True)
    with naming(argument, cfg, 'a convolution of maps'):
        conv = cnn.build_conv_layer(cfg, in_channels, out_channels, kernel_size, **kwargs)
        if type(conv) is not nn.Conv2d:
            side = 2 if conv.stride in (1, (1, 1)) else 1
            check_map(conv, (1, in_channels, 2, 2), (1, out_channels, side, side))
    return conv
