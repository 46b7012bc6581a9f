"""Size and cost of models."""

from math import prod
from typing import Any, List, NamedTuple

import torch
from mmengine.analysis import FlopAnalyzer
from mmengine.analysis.jit_handles import get_shape
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from mmdia.utils.configs import is_detection

# What MMEngine leaves out: gates and weighted sums are products of whole maps, and a mean
# that is no pooling layer adds as many numbers.
PRODUCTS = ('aten::mul', 'aten::mul_', 'aten::addcmul', 'aten::addcmul_')
SUMS = ('aten::sum', 'aten::mean')


class Complexity(NamedTuple):
    """Size and cost of a model.

    Args:
        parameters (int): Number of its parameters.
        flops (int): Multiplications with additions of one image; those of the
            backbone, if it is a detector.
    """

    parameters: int
    flops: int


def count_products(inputs: List[Any], outputs: List[Any]) -> int:
    """The multiplications of an elementwise product; a handle of MMEngine's analysis."""
    return prod(get_shape(outputs[0]) or (0,))  # that of sizes has no shape


def count_sums(inputs: List[Any], outputs: List[Any]) -> int:
    """The additions of a sum; a handle of MMEngine's analysis."""
    return prod(get_shape(inputs[0]))


@torch.no_grad()
def count_flops(model: nn.Module, image_size: int, in_channels: int = 3) -> int:
    """Count multiplications with additions.

    These are those of convolutions, linear layers, norms, pooling and products
    of matrices, as MMEngine counts them, and sums and elementwise products of
    maps and vectors.

    Args:
        model (nn.Module): The model, in evaluation mode.
        image_size (int): Height and width of the image.
        in_channels (int): Channels of the image. Defaults to 3.

    Returns:
        int: The count for one image.
    """
    image = torch.zeros(1, in_channels, image_size, image_size)
    analysis = FlopAnalyzer(model, image)
    analysis.set_op_handle(**dict.fromkeys(PRODUCTS, count_products))
    analysis.set_op_handle(**dict.fromkeys(SUMS, count_sums))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return int(analysis.total())


def measure_complexity(cfg: Config, image_size: int) -> Complexity:
    """Count the parameters and the operations of a model.

    Args:
        cfg (Config): Its config.
        image_size (int): Height and width of the image.

    Returns:
        Complexity: The counts.
    """
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmpretrain')):
        model = MODELS.build(cfg.model).eval()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    if is_detection(cfg):  # which a tracker or a semi-supervised training has within
        model = next(m.backbone for m in model.modules() if hasattr(m, 'backbone'))
    return Complexity(parameters, count_flops(model, image_size))
