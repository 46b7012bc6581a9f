"""Size and cost of models."""

from typing import NamedTuple, Optional

import torch
from mmengine.analysis import get_model_complexity_info
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmdia.utils.configs import is_detection


class Complexity(NamedTuple):
    """Size and cost of a model.

    Args:
        parameters (int): Number of its parameters.
        flops (int, optional): Multiplications with additions of one image;
            None for a detector.
    """

    parameters: int
    flops: Optional[int]


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
    if is_detection(cfg):
        return Complexity(parameters, None)
    with torch.no_grad():
        info = get_model_complexity_info(
            model, (3, image_size, image_size), show_table=False, show_arch=False
        )
    return Complexity(parameters, info['flops'])
