"""Compiling the backbone, and nothing else."""

import inspect
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from mmdia.models.utils.eager import CAN_COMPILE
from mmdia.registry import HOOKS


@HOOKS.register_module()
class CompileBackboneHook(Hook):
    """Compiles the backbone when the training begins.

    MMEngine's ``compile=True`` compiles the whole training step, with losses
    and the assignment of boxes. The backbone alone is one graph. It is compiled
    in place: weights keep their names, and checkpoints are those of any other
    run.

    Args:
        **options: Options of :func:`torch.compile`, such as ``mode``,
            ``dynamic`` and ``backend``.

    Raises:
        RuntimeError: If PyTorch is older than 2.4.
        TypeError: If there is no such option.
        ValueError: If an option has a value that torch refuses.
    """

    def __init__(self, **options: Any) -> None:
        if not CAN_COMPILE:
            raise RuntimeError(
                f'CompileBackboneHook needs PyTorch 2.4 or later, this is {torch.__version__}'
            )
        inspect.signature(torch.compile).bind(None, **options)
        try:
            torch.compile(nn.Identity(), **options)  # compiles nothing yet
        except Exception as error:
            raise ValueError(f'CompileBackboneHook cannot take {options}: {error}') from error
        self.options = options

    def before_train(self, runner: Runner) -> None:
        """Compile the backbone.

        Raises:
            ValueError: If the model has no backbone.
        """
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        backbone = getattr(model, 'backbone', None)
        if backbone is None:
            raise ValueError(
                f'CompileBackboneHook needs a model with a backbone, got {type(model).__name__}'
            )
        backbone.compile(**self.options)
        runner.logger.info('compiling the backbone: the first iterations take longer')
