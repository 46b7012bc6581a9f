"""Whether the weights of a checkpoint are those of a model."""

from contextlib import contextmanager
from functools import partial
from typing import Any, Dict, Iterator

from mmengine.hooks import EMAHook, Hook
from mmengine.model import BaseTTAModel
from mmengine.runner import Runner
from mmengine.runner.checkpoint import load_state_dict
from torch import Tensor, nn

from mmdia.models.utils import read_checkpoint


def read_weights(checkpoint: str) -> Dict[str, Any]:
    """The weights of a checkpoint by their names.

    Raises:
        SystemExit: If it cannot be read.
    """
    with fit_or_stop(checkpoint):
        content = read_checkpoint(checkpoint)
    state = content.get('state_dict', content)
    return {key.removeprefix('module.'): value for key, value in state.items()}


@contextmanager
def fit_or_stop(checkpoint: str) -> Iterator[None]:
    """Stop where a checkpoint cannot be read, or its weights are not those of the model."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from error
    except (RuntimeError, TypeError) as error:
        raise SystemExit(
            f'checkpoint {checkpoint} does not fit the config: {shorten(str(error))}'
        ) from error


def check_weights(checkpoint: str, weights: Dict[str, Any], model: nn.Module) -> None:
    """Stop unless a checkpoint has the weights of a model, in their shapes, and no others.

    Args:
        checkpoint (str): What messages call the checkpoint.
        weights (Dict[str, Any]): Its weights by their names.
        model (nn.Module): The model, which gets them.

    Raises:
        SystemExit: If a weight is missing, not in the model, no tensor, or of another shape.
    """
    with fit_or_stop(checkpoint):
        load_state_dict(model, weights, strict=True)


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
        with fit_or_stop(filename):
            return load(filename, *args, **kwargs)

    runner.load_checkpoint = load_checkpoint
    runner.register_hook(WeightsHook(strict))


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
    """Stop at checkpoints that hold no weights, before other hooks look for them.

    Args:
        strict (bool): Whether averages have to fit, too.
    """

    priority = 'HIGHEST'

    def __init__(self, strict: bool) -> None:
        self.strict = strict

    def after_load_checkpoint(self, runner: Runner, checkpoint: Any) -> None:
        """Check what was loaded."""
        state = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, dict) else None
        if not isinstance(state, dict) or not any(isinstance(v, Tensor) for v in state.values()):
            raise SystemExit(f'checkpoint {runner._load_from} holds no weights')
        for hook in runner.hooks if self.strict else ():
            if isinstance(hook, EMAHook):
                # Averages that do not fit would stay at random, and be tested.
                hook.strict_load = True
                averages = hook.ema_model.module
                if isinstance(averages, BaseTTAModel):  # within which MMPretrain's hook finds none
                    hook.ema_model.module = averages.module
