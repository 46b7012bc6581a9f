"""Trainings that can be interrupted and resumed."""

import logging
import reprlib
import shlex
from functools import partial
from itertools import chain
from typing import Any, Dict, List, Set, Tuple

from mmengine.config import Config
from mmengine.hooks import CheckpointHook, EarlyStoppingHook, EMAHook, Hook
from mmengine.logging import print_log
from mmengine.optim import OptimWrapperDict
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch.optim import Optimizer

from mmdia.engine import InterruptionHook

# MMEngine's loops, and what takes their places.
LOOPS = {
    EpochBasedTrainLoop: 'mmdia.ResumableTrainLoop',
    IterBasedTrainLoop: 'mmdia.ResumableIterTrainLoop',
}


def is_type(cfg: dict, kind: type) -> bool:
    """Whether a config is that of a class, which it gives or names, with or without a scope.

    MMEngine dumps classes by their modules, such as ``'mmengine.hooks.CheckpointHook'``.
    """
    given = cfg.get('type')
    if not isinstance(given, str):
        return given is kind
    scope, _, name = given.rpartition('.')
    return name == kind.__name__ and scope.partition('.')[0] in ('', 'mmengine', 'mmdia')


def make_resumable(cfg: Config) -> None:
    """Let a run save at interruptions, and resume as if there had been none.

    Args:
        cfg (Config): A complete config; other loops and hooks than MMEngine's own stay as
            they are.
    """
    hooks = [hook for hook in cfg.get('custom_hooks') or () if not is_type(hook, InterruptionHook)]
    cfg.custom_hooks = [*hooks, dict(type='mmdia.InterruptionHook')]
    if not cfg.get('default_hooks'):
        cfg.default_hooks = {}
    cfg.default_hooks.setdefault('checkpoint', dict(type='CheckpointHook', interval=1))
    for hook in (*cfg.default_hooks.values(), *cfg.custom_hooks):
        if hook is not None and is_type(hook, CheckpointHook):
            hook['type'] = 'mmdia.DurableCheckpointHook'
        elif hook is not None and is_type(hook, EarlyStoppingHook):
            # Before the last checkpoint is saved anew, behind the validation that was the best.
            hook.setdefault('priority', 'LOW')
    loop = cfg.train_cfg
    by_epoch = EpochBasedTrainLoop if loop.get('by_epoch') else IterBasedTrainLoop
    loop.setdefault('type', by_epoch.__name__)
    for kind, ours in LOOPS.items():
        if is_type(loop, kind):
            loop.type = ours
            loop.pop('by_epoch', None)
    if loop.type == LOOPS[EpochBasedTrainLoop]:
        # Workers that persist carry random numbers from epoch to epoch.
        cfg.train_dataloader.persistent_workers = False


def load_option(checkpoint: str) -> str:
    """The option that starts a training from the weights of a checkpoint, for a shell."""
    return f'--cfg-options {shlex.quote(f"load_from={checkpoint}")}'


class ResumeHook(Hook):
    """Stop at checkpoints from which a run cannot go on, before other hooks change them."""

    priority = 'HIGHEST'

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check what was loaded."""
        name, wanted = runner._load_from, {'optimizer', 'message_hub', 'epoch', 'iter'}
        if not wanted <= {*checkpoint, *(checkpoint.get('meta') or {})}:
            raise SystemExit(
                f'{name} holds weights alone and cannot be resumed; '
                f'to start from them: {load_option(name)}'
            )
        averages = [hook for hook in runner.hooks if isinstance(hook, EMAHook)]
        if 'ema_state_dict' in checkpoint and not averages:
            # MMEngine saves the averages in the place of the weights.
            raise SystemExit(
                f'{name} holds averages of the weights, and the config has no EMAHook: add that '
                'of the training, such as --cfg-options default_hooks.ema.type=EMAHook\n'
                f'to start from the averages: {load_option(name)}'
            )
        for hook in averages:
            hook.strict_load = True


def resume_or_stop(runner: Runner, checkpoint: str) -> None:
    """Make a runner resume, and stop where what it trains with is not what was trained with.

    Args:
        runner (Runner): The runner. When the weights, the optimizers, or anything else that a
            checkpoint brings back, do not fit it, it raises :class:`SystemExit`.
        checkpoint (str): What it is to resume.
    """
    resume = runner.resume

    def resume_checkpoint(filename: str, *args, **kwargs) -> None:
        configured = options(runner)
        try:
            resume(filename, *args, **kwargs)
            check_optimizers(runner)
        except Exception as error:  # what does not fit fails in every way
            raise SystemExit(
                f'checkpoint {filename} cannot be resumed with this config, was it saved with '
                f'another optimizer or paramwise_cfg? {type(error).__name__}: {error}\n'
                f'to start from its weights: {load_option(filename)}'
            ) from error
        warn_of_replaced(configured, options(runner), filename)

    runner.resume = resume_checkpoint
    runner.load_checkpoint = partial(runner.load_checkpoint, strict=True)
    runner.register_hook(ResumeHook())
    # Not in the config: its dump would resume, too.
    runner._load_from, runner._resume = checkpoint, True


def optimizers(runner: Runner) -> List[Optimizer]:
    """The optimizers of a runner."""
    wrapper = runner.optim_wrapper
    wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
    return [wrapper.optimizer for wrapper in wrappers]


# States of PyTorch's optimizers that have the shape of their parameter.
LIKE_PARAMETERS = {'momentum_buffer', 'exp_avg', 'exp_avg_sq', 'square_avg'}


def option_names(optimizer: Optimizer) -> Set[str]:
    """The names of an optimizer's options."""
    # PyTorch adds this one when it loads a state, to optimizers that do not have it, too.
    return optimizer.defaults.keys() - {'differentiable'}


def check_optimizers(runner: Runner) -> None:
    """Raise an error unless optimizers have all of their options, and states of their parameters.

    States may bring other options. They know parameters by their order alone.
    """
    for optimizer in optimizers(runner):
        missing = set()
        for group in optimizer.param_groups:
            missing |= option_names(optimizer) - group.keys()
        if missing:
            kind = type(optimizer).__name__
            raise ValueError(f'no {", ".join(sorted(missing))}, which {kind} needs')
        for parameter, state in optimizer.state.items():
            for name in LIKE_PARAMETERS & state.keys():
                if state[name] is not None and state[name].shape != parameter.shape:
                    raise ValueError(
                        f'{name} of shape {tuple(state[name].shape)} for a parameter of shape '
                        f'{tuple(parameter.shape)}: the parameters had another order'
                    )


# What schedulers count and compute while they run.
PROGRESS = {
    '_global_step',
    '_last_value',
    'best',
    'cooldown_counter',
    'last_step',
    'num_bad_epochs',
}


def options(runner: Runner) -> Dict[Tuple[int, str], Any]:
    """What a checkpoint brings back of optimizers and schedulers in place of the config.

    Args:
        runner (Runner): A runner whose optimizers and schedulers are built.

    Returns:
        Dict[Tuple[int, str], Any]: Values by the number of the optimizer or scheduler and a name
            such as ``'MultiStepLR.end'``.
    """
    schedulers = runner.param_schedulers or []
    if isinstance(schedulers, dict):
        schedulers = [*chain(*schedulers.values())]
    scheduled = {scheduler.param_name for scheduler in schedulers}
    if 'momentum' in scheduled:
        scheduled.add('betas')  # of which the first is Adam's momentum
    found = {}
    for number, optimizer in enumerate(optimizers(runner)):
        for key in option_names(optimizer) - scheduled:
            values = [group.get(key) for group in optimizer.param_groups]
            found[number, f'{type(optimizer).__name__}.{key}'] = values
    for number, scheduler in enumerate(schedulers):
        for key in scheduler.state_dict().keys() - PROGRESS:
            found[number, f'{type(scheduler).__name__}.{key}'] = getattr(scheduler, key)
    return found


def warn_of_replaced(configured: dict, resumed: dict, checkpoint: str) -> None:
    """Warn of :func:`options` that a checkpoint has replaced."""
    lines = []
    for key in sorted(resumed):
        if key not in configured:
            lines.append(f'  {key[1]}: {shorten(resumed[key])}, not given')
        elif configured[key] != resumed[key]:
            lines.append(f'  {key[1]}: {shorten(resumed[key])}, not {shorten(configured[key])}')
    if lines:
        message = [
            f'{checkpoint} replaces options of the config:',
            *lines,
            f'to use those of the config, start from its weights: {load_option(checkpoint)}',
        ]
        print_log('\n'.join(message), logger='current', level=logging.WARNING)


def shorten(value: Any) -> str:
    """A value in a few words."""
    return reprlib.repr(list(value) if isinstance(value, dict) else value)
