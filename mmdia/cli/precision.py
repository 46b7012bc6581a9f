"""Mixed precision of the training and testing tools."""

import torch
from mmengine.config import Config
from mmengine.device import get_device

from mmdia.engine import BFloat16OptimWrapper

from .command_line import add_hook
from .resume import is_type


def amp_dtype(cfg: Config) -> str:
    """The dtype in which autocast computes here.

    Args:
        cfg (Config): A complete config, whose ``optim_wrapper`` may have a ``dtype``.

    Returns:
        str: By default ``'bfloat16'`` on CPUs, and ``'float16'`` elsewhere.

    Raises:
        SystemExit: If autocast does not compute so here.
    """
    device = get_device()
    if device == 'mps':
        raise SystemExit('--amp: needs a CPU, or a GPU other than mps')
    wrapper = cfg.get('optim_wrapper') or {}
    on_cpu = device == 'cpu'
    default = 'bfloat16' if on_cpu or is_type(wrapper, BFloat16OptimWrapper) else 'float16'
    dtype = str(wrapper.get('dtype') or default).removeprefix('torch.')
    if on_cpu and dtype != 'bfloat16':
        raise SystemExit(f'--amp: optim_wrapper.dtype must be bfloat16 on a CPU, got {dtype}')
    return dtype


def evaluate_in_amp(cfg: Config, loop: str) -> None:
    """Let a loop compute in mixed precision, with the dtype of the training.

    Args:
        cfg (Config): A complete config.
        loop (str): ``'val_cfg'`` or ``'test_cfg'``.
    """
    if amp_dtype(cfg) == 'bfloat16':
        add_hook(cfg, 'heads', 'mmdia.SinglePrecisionHeadsHook')
        if get_device() == 'cuda':
            # MMEngine's loops compute in the default dtype.
            if hasattr(torch, 'set_autocast_dtype'):
                torch.set_autocast_dtype('cuda', torch.bfloat16)
            else:  # torch before 2.4
                torch.set_autocast_gpu_dtype(torch.bfloat16)
    if cfg.get(loop) is not None:
        cfg[loop].fp16 = True


def train_in_amp(cfg: Config) -> None:
    """Train and validate in mixed precision.

    Args:
        cfg (Config): A complete config.
    """
    evaluate_in_amp(cfg, 'val_cfg')
    wrapper = cfg.optim_wrapper
    if is_type(wrapper, BFloat16OptimWrapper):
        return
    if get_device() == 'cpu':
        wrapper.type = 'mmdia.BFloat16OptimWrapper'
        for name in ('dtype', 'loss_scale', 'use_fsdp'):
            wrapper.pop(name, None)
    else:
        wrapper.type = 'AmpOptimWrapper'
        wrapper.setdefault('loss_scale', 'dynamic')
