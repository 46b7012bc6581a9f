"""Whether the weights of a checkpoint are those of a model."""

from typing import Mapping

from torch import Tensor


def check_weights(
    checkpoint: str, given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> None:
    """Stop unless a checkpoint has the weights of a model, in their shapes, and no others.

    Args:
        checkpoint (str): What messages call the checkpoint.
        given (Mapping[str, Tensor]): Its weights by their names.
        wanted (Mapping[str, Tensor]): The weights of the model.

    Raises:
        SystemExit: If a weight is missing, not in the model, or of another shape.
    """
    problems = [f'{key}: missing' for key in sorted(wanted.keys() - given.keys())]
    problems += [f'{key}: not in the model' for key in sorted(given.keys() - wanted.keys())]
    problems += [
        f'{key}: shape {tuple(given[key].shape)}, the model has {tuple(wanted[key].shape)}'
        for key in sorted(wanted.keys() & given.keys())
        if wanted[key].shape != given[key].shape
    ]
    if problems:
        shown = '\n  '.join(problems[:5] + ['...'] * (len(problems) > 5))
        raise SystemExit(
            f'checkpoint {checkpoint} does not fit the config, {len(problems)} weights:\n  {shown}'
        )
