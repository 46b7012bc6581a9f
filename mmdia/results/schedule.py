"""Schedules made shorter."""

from typing import Optional

from mmengine.config import Config

# The options of parameter schedulers that count epochs or iterations.
COUNTS = ('begin', 'end', 'T_max', 'step_size', 'total_steps')
# MMEngine's stand-in for "never ends".
NEVER = int(1e9)


def scale_count(count: int, factor: float) -> int:
    """A number of epochs or iterations, times a factor; at least 1 unless it is 0."""
    return count if count >= NEVER else max(round(count * factor), min(count, 1))


def schedule_length(cfg: Config) -> int:
    """The number of epochs, or of iterations, that a config trains."""
    return cfg.train_cfg.get('max_epochs') or cfg.train_cfg.max_iters


def shorten(cfg: Config, epochs: Optional[int] = None, scale: Optional[float] = None) -> None:
    """Make the schedule of a config shorter or longer.

    Learning rates keep their values, and change at the same parts of the training. In a shorter
    one the intervals of validations and checkpoints are shorter, too.

    Args:
        cfg (Config): The config to change.
        epochs (int, optional): How long to train: epochs, or iterations where
            the config counts these.
        scale (float, optional): The factor of the length instead.
    """
    loop = cfg.train_cfg
    name = 'max_epochs' if loop.get('max_epochs') else 'max_iters'
    if epochs is None:
        epochs = loop[name] if scale is None else max(round(loop[name] * scale), 1)
    factor = epochs / loop[name]
    if factor == 1:
        return
    loop[name] = epochs
    loop.val_interval = scale_count(loop.get('val_interval', 1), min(factor, 1))
    checkpoint = cfg.get('default_hooks', {}).get('checkpoint') or {}
    if checkpoint.get('interval', -1) > 0:
        checkpoint['interval'] = scale_count(checkpoint['interval'], min(factor, 1))
    schedulers = cfg.get('param_scheduler') or []
    for scheduler in schedulers if isinstance(schedulers, list) else [schedulers]:
        for count in COUNTS:
            if scheduler.get(count) is not None:
                scheduler[count] = scale_count(scheduler[count], factor)
        if 'milestones' in scheduler:
            scheduler.milestones = [scale_count(step, factor) for step in scheduler.milestones]
