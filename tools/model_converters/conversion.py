"""Conversion of checkpoints of other code, and its command line."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Tuple

import torch
from checkpoints import harmless_meta, naming, serialize, state_of, write_file
from networks import Network, State
from renaming import fits, listed, rename
from torch import nn

from mmdia.cli.command_line import add_trust_argument, protect
from mmdia.models.utils import read_checkpoint
from mmdia.registry import MODELS
from mmdia.version import __version__

# What other code does not have, by the end of its name. Gates and terms of attention are not
# scaled there, and PyTorch before 0.4.1 did not count batches.
FILLED = dict(gate_scale=1, scale=1, num_batches_tracked=0)


def guess_network(state: State, networks: Dict[str, Network]) -> str:
    """Find the network that a checkpoint is of.

    Raises:
        ValueError: If its names are not those of exactly one network.
    """
    fitting = [
        name
        for name, network in networks.items()
        if fits((key for key in state if not key.startswith(network.kept)), network.rules)
    ]
    if len(fitting) != 1:
        raise ValueError(
            f'its names are those of {listed(fitting) or "none"} of {", ".join(networks)}; '
            '--network says which it should be, and then what does not fit'
        )
    return fitting[0]


def rename_all(state: State, network: Network) -> State:
    """Translate all names.

    Raises:
        ValueError: If there is a name that the network does not have.
    """
    names = {
        key: key if key.startswith(network.kept) else rename(key, network.rules) for key in state
    }
    unknown = [key for key, name in names.items() if name is None]
    if unknown:
        raise ValueError(f'the network has no {listed(unknown)}')
    return {name: state[key] for key, name in names.items()}


def expected_weights(backbone: dict, classes: Optional[int]) -> State:
    """Names and shapes in our model.

    Args:
        backbone (dict): Config of the backbone.
        classes (int, optional): Number of classes of a classifier.
    """
    with torch.device('meta'):
        model = nn.ModuleDict(dict(backbone=MODELS.build(backbone)))
        if classes is not None:
            fc = nn.Linear(model['backbone'].stage_channels[-1], classes)
            model['head'] = nn.ModuleDict(dict(fc=fc))
    return model.state_dict()


def check_weights(given: State, expected: State) -> None:
    """Compare names and shapes.

    Raises:
        ValueError: If any differ.
    """
    problems = [f'{key} is missing' for key in expected if key not in given]
    problems += [f'{key} is not in the model' for key in given if key not in expected]
    problems += [
        f'{key} has shape {tuple(given[key].shape)} instead of {tuple(value.shape)}'
        for key, value in expected.items()
        if key in given and given[key].shape != value.shape
    ]
    if problems:
        raise ValueError(f'the weights do not fit the model: {listed(problems)}')


def convert(state: State, network: Network) -> Tuple[State, dict]:
    """Convert the weights of a network.

    Args:
        state (Dict[str, Tensor]): Its weights.
        network (Network): The network.

    Returns:
        Tuple[Dict[str, Tensor], dict]: Weights of our model, and the config of
        its backbone.

    Raises:
        ValueError: If anything is missing, left over or of another shape.
    """
    given = rename_all(state, network)
    kept = {key: given.pop(key) for key in state if key.startswith(network.kept)}
    trunk = {key.removeprefix('backbone.'): value for key, value in given.items()}
    try:
        backbone = network.backbone(trunk)
        classes = None if network.kept else len(given['head.fc.bias'])
    except KeyError as error:
        raise ValueError(f'nothing in it becomes {error.args[0]}') from error
    except IndexError as error:
        raise ValueError('the weights of its first block have wrong shapes') from error
    expected = expected_weights(backbone, classes)
    for key, value in expected.items():
        constant = FILLED.get(key.rpartition('.')[2])
        if key not in given and constant is not None:
            given[key] = torch.full(value.shape, constant, dtype=value.dtype)
    check_weights(given, expected)
    return {**{key: given[key] for key in expected}, **kept}, backbone


def as_config(value: Any) -> str:
    """A value as it is written in configs."""
    if isinstance(value, dict):
        return f'dict({", ".join(f"{key}={as_config(entry)}" for key, entry in value.items())})'
    return repr(value)


def convert_content(
    content: Dict[str, Any], networks: Dict[str, Network], name: Optional[str] = None
) -> Dict[str, Any]:
    """Convert a checkpoint and say which backbone it is for.

    Args:
        content (Dict[str, Any]): The checkpoint.
        networks (Dict[str, Network]): The networks that it may be of.
        name (str, optional): The network that it is of. By default it is
            guessed.

    Returns:
        Dict[str, Any]: A checkpoint of our model.
    """
    state = state_of(content)
    name = name or guess_network(state, networks)
    state, backbone = convert(state, networks[name])
    print(f'{name}: backbone={as_config(backbone)}')
    added = dict(mmdia_version=__version__, converted_from=name, backbone=backbone)
    return dict(meta=dict(harmless_meta(content), **added), state_dict=state)


def run(parser: ArgumentParser, convert: Callable[[Dict[str, Any], Namespace], dict]) -> None:
    """Read the command line of a converter and convert.

    Args:
        parser (ArgumentParser): The options of its own.
        convert (Callable): Takes a checkpoint and the parsed options; returns another one.
    """
    parser.add_argument('source', metavar='IN', help='checkpoint file or URL')
    parser.add_argument('target', metavar='OUT', type=Path, help='file to write')
    add_trust_argument(parser)
    args = parser.parse_args()
    protect(args)
    try:
        content = read_checkpoint(args.source, logger='silent')
        with naming(args.source):
            content = convert(content, args)
        write_file(args.target, serialize(content))
    except (OSError, ValueError, ImportError) as error:
        parser.error(str(error))
    print(f'wrote {args.target}')


def run_networks(description: str, networks: Dict[str, Network]) -> None:
    """Run a converter of checkpoints of some networks."""
    parser = ArgumentParser(description=description.splitlines()[0])
    parser.add_argument(
        '--network', choices=list(networks), help='what the checkpoint is of; guessed by default'
    )
    run(parser, lambda content, args: convert_content(content, networks, args.network))
