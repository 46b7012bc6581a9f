"""Whether the weights of a checkpoint are those of a model."""

from functools import partial
from typing import Any, Dict, Mapping

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from mmdia.models.utils import read_checkpoint


def read_weights(checkpoint: str) -> Dict[str, Any]:
    """The weights of a checkpoint by their names.

    Raises:
        SystemExit: If it cannot be read.
    """
    try:
        content = read_checkpoint(checkpoint)
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from error
    state = content.get('state_dict', content)
    return {key.removeprefix('module.'): value for key, value in state.items()}


def check_weights(
    checkpoint: str, given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> None:
    """Stop unless a checkpoint has the weights of a model, in their shapes, and no others.

    Args:
        checkpoint (str): What messages call the checkpoint.
        given (Mapping[str, Tensor]): Its weights by their names.
        wanted (Mapping[str, Tensor]): The weights of the model.

    Raises:
        SystemExit: If a weight is missing, not in the model, no tensor, or of another shape.
    """
    missing = sorted(wanted.keys() - given.keys())
    # PyTorch before 0.4.1 did not count batches.
    problems = [f'{key}: missing' for key in missing if not key.endswith('num_batches_tracked')]
    problems += [f'{key}: not in the model' for key in sorted(given.keys() - wanted.keys())]
    for key in sorted(wanted.keys() & given.keys()):
        value, shape = given[key], tuple(wanted[key].shape)
        if not isinstance(value, Tensor):
            problems.append(f'{key}: of type {type(value).__name__}, the model has shape {shape}')
        elif tuple(value.shape) != shape:
            problems.append(f'{key}: shape {tuple(value.shape)}, the model has {shape}')
    if problems:
        shown = '\n  '.join(problems[:5] + ['...'] * (len(problems) > 5))
        raise SystemExit(
            f'checkpoint {checkpoint} does not fit the config, {len(problems)} weights:\n  {shown}'
        )


def load_or_stop(runner: Runner, strict: bool) -> None:
    """Make a runner stop at a checkpoint that cannot be read, or whose weights do not fit.

    MMEngine's own comparison decides, since modules may rename or resize weights
    as they load them. It knows wrapped models, and passes over the counters that old
    norms lack.

    Args:
        runner (Runner): The runner. When it loads a checkpoint that cannot be read, holds
            no weights, or does not fit, it raises :class:`SystemExit`.
        strict (bool): Whether the weights have to be those of the model, by name and shape.
    """
    load = partial(runner.load_checkpoint, strict=True) if strict else runner.load_checkpoint

    def load_checkpoint(filename: str, *args, **kwargs) -> Any:
        try:
            return load(filename, *args, **kwargs)
        except (OSError, ValueError) as error:
            raise SystemExit(str(error)) from error
        except (RuntimeError, TypeError) as error:
            raise SystemExit(
                f'checkpoint {filename} does not fit the config: {shorten(str(error))}'
            ) from error

    runner.load_checkpoint = load_checkpoint
    runner.register_hook(WeightsHook())


def shorten(problems: str, limit: int = 5) -> str:
    """The first problems of a message of :func:`torch.nn.Module.load_state_dict`, a line each."""
    lines = []
    for line in filter(None, problems.splitlines()):
        kind, _, keys = line.partition(': ')
        lines += (
            [f'{kind}: {key}' for key in keys.split(', ')] if 'state_dict: ' in line else [line]
        )
    return '\n  '.join(lines[: limit + 1] + ['...'] * (len(lines) > limit + 1))


class WeightsHook(Hook):
    """Stop at checkpoints that hold no weights, before other hooks look for them."""

    priority = 'HIGHEST'

    def after_load_checkpoint(self, runner: Runner, checkpoint: Any) -> None:
        """Check what was loaded."""
        state = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, dict) else None
        if not isinstance(state, dict) or not any(isinstance(v, Tensor) for v in state.values()):
            raise SystemExit(f'checkpoint {runner._load_from} holds no weights')
