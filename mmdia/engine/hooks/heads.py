"""Heads that predict in single precision."""

import re
from typing import Any, List, Tuple

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from mmdia.registry import HOOKS


def in_single_precision(value: Any) -> Any:
    """Convert a bfloat16 tensor, or those in a tuple or list, to float32."""
    if isinstance(value, (tuple, list)):
        return type(value)(map(in_single_precision, value))
    if isinstance(value, Tensor) and value.dtype == torch.bfloat16:
        return value.float()
    return value


def convert_inputs(module: nn.Module, args: Tuple) -> Tuple:
    """A forward pre-hook of modules that take single precision."""
    return in_single_precision(args)


def convert_outputs(module: nn.Module, args: Tuple, outputs: Any) -> Any:
    """A forward hook of modules that are to return single precision."""
    return in_single_precision(outputs)


@HOOKS.register_module()
class SinglePrecisionHeadsHook(Hook):
    """Lets heads return float32 where autocast computes in bfloat16.

    Neither MMCV's operators, such as non-maximum suppression, nor NumPy know
    bfloat16. The layers of heads still compute in it. RoI extractors take float32.

    Heads and RoI extractors are found by what MMPretrain and MMDetection call
    them, such as ``head``, ``rpn_head`` and ``roi_head.bbox_roi_extractor``.
    """

    def __init__(self) -> None:
        self.handles: List[RemovableHandle] = []

    def before_run(self, runner: Runner) -> None:
        """Convert from now on."""
        for path, module in runner.model.named_modules():
            name = re.sub(r'(\.\d+)+$', '', path).rpartition('.')[2]
            if name.endswith('head'):
                self.handles.append(module.register_forward_hook(convert_outputs))
            elif name.endswith('roi_extractor'):
                self.handles.append(module.register_forward_pre_hook(convert_inputs))

    def after_run(self, runner: Runner) -> None:
        """Convert no more."""
        while self.handles:
            self.handles.pop().remove()
