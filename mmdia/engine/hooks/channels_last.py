"""Maps whose channels are innermost in memory."""

from typing import Any, List

import torch
from mmengine.hooks import Hook
from mmengine.model import BaseDataPreprocessor
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.hooks import RemovableHandle

from mmdia.registry import HOOKS


def images_to_channels_last(preprocessor: nn.Module, args: tuple, data: Any) -> Any:
    """Convert the images that a data preprocessor returns; a forward hook of it."""
    if isinstance(data, dict):
        images = data.get('inputs')
        if isinstance(images, Tensor) and images.dim() == 4:
            data['inputs'] = images.contiguous(memory_format=torch.channels_last)
    return data


def is_compiled_operator(module: nn.Module) -> bool:
    """Whether a module is one of MMCV's compiled operators, which read maps as (N, C, H, W)."""
    return any(cls.__module__.startswith('mmcv.ops.') for cls in type(module).__mro__)


def contiguous_inputs(module: nn.Module, args: tuple) -> tuple:
    """Bring maps into the default format; a forward pre-hook."""
    return tuple(x.contiguous() if isinstance(x, Tensor) else x for x in args)


def contiguous_gradient(module: nn.Module, args: tuple, output: Any) -> None:
    """Bring the gradient of the output into the default format; a forward hook."""
    if isinstance(output, Tensor) and output.requires_grad:
        output.register_hook(Tensor.contiguous)


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Trains and tests in the memory format ``torch.channels_last``.

    Weights and images are converted, and layers keep the format of their input.
    Convolutions are faster so, on GPUs with mixed precision above all, and on
    many CPUs. Results differ by rounding alone. Checkpoints fit any other run.

    The compiled operators of MMCV, such as ``RoIAlign`` and deformable
    convolutions, read memory in the default format whatever the format of a
    map is, most without a word. Their modules keep their weights in the default
    format, and are given maps and gradients in it.
    """

    # Before those that copy the model.
    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self.handles: List[RemovableHandle] = []

    def before_run(self, runner: Runner) -> None:
        """Convert the weights, and from now on the images."""
        model = runner.model.to(memory_format=torch.channels_last)
        operators = [module for module in model.modules() if is_compiled_operator(module)]
        for module in operators:
            module.to(memory_format=torch.contiguous_format)
        if isinstance(model, DistributedDataParallel):
            # Its buckets of gradients have the memory format of the weights it was built with.
            runner.model = runner.wrap_model(runner.cfg.get('model_wrapper_cfg'), model.module)
        self.handles = [
            module.register_forward_hook(images_to_channels_last)
            for module in runner.model.modules()
            if isinstance(module, BaseDataPreprocessor)
        ]
        for module in operators:
            self.handles.append(module.register_forward_pre_hook(contiguous_inputs))
            self.handles.append(module.register_forward_hook(contiguous_gradient))

    def after_run(self, runner: Runner) -> None:
        """Convert images and maps no more."""
        while self.handles:
            self.handles.pop().remove()
