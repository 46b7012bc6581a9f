"""Maps whose channels are innermost in memory."""

from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import BaseDataPreprocessor
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mmdia.registry import HOOKS


def images_to_channels_last(preprocessor: nn.Module, args: tuple, data: Any) -> Any:
    """Convert the images that a data preprocessor returns; a forward hook of it."""
    if isinstance(data, dict):
        images = data.get('inputs')
        if isinstance(images, Tensor) and images.dim() == 4:
            data['inputs'] = images.contiguous(memory_format=torch.channels_last)
    return data


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Trains and tests in the memory format ``torch.channels_last``.

    Weights and images are converted, and layers keep the format of their input.
    Convolutions are faster so, on GPUs with mixed precision above all, and on
    many CPUs. Results differ by rounding alone. Checkpoints fit any other run.
    """

    # Before those that copy the model.
    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self.handles = []

    def before_run(self, runner: Runner) -> None:
        """Convert the weights, and from now on the images."""
        model = runner.model.to(memory_format=torch.channels_last)
        if isinstance(model, DistributedDataParallel):
            # Its buckets of gradients have the memory format of the weights it was built with.
            runner.model = runner.wrap_model(runner.cfg.get('model_wrapper_cfg'), model.module)
        self.handles = [
            module.register_forward_hook(images_to_channels_last)
            for module in runner.model.modules()
            if isinstance(module, BaseDataPreprocessor)
        ]

    def after_run(self, runner: Runner) -> None:
        """Convert images no more."""
        while self.handles:
            self.handles.pop().remove()
