"""Convert checkpoints of ResNets between torchvision's names and ours, in either direction."""

import re
from argparse import ArgumentParser
from typing import Any, Dict

from checkpoints import state_of
from conversion import convert_content, run
from networks import Network, State, classifier
from renaming import listed, rename
from trunks import imagenet_trunk

TRUNK = {
    '{stem}.{tensor}': '{stem}.{tensor}',
    'layer{stage}.{block}.{layer}.{tensor}': 'layer{stage}.{block}.{layer}.{tensor}',
}
RESNET = Network(classifier(TRUNK), imagenet_trunk)
TO_TORCHVISION = {ours: theirs for theirs, ours in RESNET.rules.items()}
TRUNK_ALONE = {f'backbone.{ours}': theirs for theirs, ours in TRUNK.items()}
# What is not the trunk: interactions, and all that is not the backbone.
NOT_TRUNK = re.compile(r'(?!backbone\.).+|backbone\.(layer\d\.)?interaction\..+')


def export(state: State, trunk_only: bool = False) -> State:
    """Give the weights of our model torchvision's names.

    Args:
        state (Dict[str, Tensor]): The weights of our model.
        trunk_only (bool): Whether to leave out interactions and heads.
            Defaults to False.

    Raises:
        ValueError: If torchvision has no name for a weight that is not left
            out.
    """
    if trunk_only:
        state = {key: value for key, value in state.items() if not NOT_TRUNK.fullmatch(key)}
    names = {key: rename(key, TRUNK_ALONE if trunk_only else TO_TORCHVISION) for key in state}
    unknown = [key for key, name in names.items() if name is None]
    if unknown:
        leave_out = ': --trunk-only leaves them out, with the classifier'
        hint = leave_out if all(map(NOT_TRUNK.fullmatch, unknown)) else ''
        raise ValueError(f'torchvision has no name for {listed(unknown)}{hint}')
    return {name: state[key] for key, name in names.items()}


def convert_either(content: Dict[str, Any], trunk_only: bool) -> Dict[str, Any]:
    """Convert a checkpoint in the direction that its names need.

    Args:
        content (Dict[str, Any]): The checkpoint.
        trunk_only (bool): See :func:`export`.

    Raises:
        ValueError: If it has names of neither, or ``trunk_only`` is for
            nothing.
    """
    state = state_of(content)
    if any(key.startswith('backbone.') for key in state):
        return export(state, trunk_only)
    if trunk_only:
        raise ValueError('--trunk-only is for checkpoints of ours, with names in backbone')
    return convert_content(content, dict(torchvision=RESNET), 'torchvision')


def main() -> None:
    """Convert."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--trunk-only', action='store_true', help='leave out interactions, classifier and heads'
    )
    run(parser, lambda content, args: convert_either(content, args.trunk_only))


if __name__ == '__main__':
    main()
