"""Publish a checkpoint: strip what only training needs, name it by its hash, describe it.

Prints the entry for the model index. The same checkpoint gives the same file
with the same versions of PyTorch and mmdia.
"""

import hashlib
import re
import sys
import textwrap
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from copy import deepcopy
from pathlib import Path
from typing import Any, Dict, Optional

import torch
import yaml
from checkpoints import harmless_meta, naming, serialize, state_of, write_file
from conversion import check_weights
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from networks import State
from renaming import listed
from torch import nn

import mmdia  # noqa: F401  (finds its models)
from mmdia.checkpoints.reader import is_trusted
from mmdia.cli.command_line import add_trust_argument, load_config, protect
from mmdia.cli.outputs import user_path
from mmdia.models.utils import read_checkpoint
from mmdia.version import __version__

ROOT = Path(__file__).resolve().parents[2]
# What the name of a run may be, for it becomes that of a file.
NAME = re.compile(r'\w[\w.+-]{0,99}')
# Entries of a config that belong to a run or a machine.
LOCAL = ('work_dir', 'load_from', 'resume', 'launcher')


def build_parser() -> ArgumentParser:
    """Describe the command line."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('source', metavar='IN', help='checkpoint file')
    parser.add_argument('folder', metavar='OUT_FOLDER', type=user_path, help='folder to write to')
    parser.add_argument('--config', help='its config, which names it; checked against the weights')
    parser.add_argument(
        '--ema',
        action=BooleanOptionalAction,
        help='publish the averaged or the plain weights, where the checkpoint holds both',
    )
    parser.add_argument(
        '--safetensors', action='store_true', help='write the weights as a .safetensors file too'
    )
    parser.add_argument('--entry', metavar='FILE', type=user_path, help='file for the entry')
    add_trust_argument(parser)
    return parser


def choose_weights(content: Dict[str, Any], ema: Optional[bool]) -> State:
    """The weights to publish.

    Args:
        content (Dict[str, Any]): A checkpoint.
        ema (bool, optional): Whether averaged or plain weights are asked for.

    Raises:
        ValueError: If the choice is impossible or missing.
    """
    if 'ema_state_dict' not in content:
        if ema:
            raise ValueError('it holds no averaged weights')
        return state_of(content)
    if ema is None:
        raise ValueError('it holds averaged weights and plain ones: choose --ema or --no-ema')
    if ema:
        # MMEngine swaps both when it saves, so that tests find the averaged ones.
        return state_of(content)
    state_of(dict(state_dict=content['ema_state_dict']))  # says what is wrong with it
    plain = content['ema_state_dict'].items()
    return {key.removeprefix('module.'): value for key, value in plain if key.startswith('module.')}


def is_finite(value: torch.Tensor) -> bool:
    """Whether all values are numbers, also those of 8 bits, for which PyTorch does not say."""
    return bool(torch.isfinite(value.double() if value.is_floating_point() else value).all())


def check_finite(state: State) -> None:
    """Check that all weights are numbers.

    Raises:
        ValueError: If any is infinite or not a number.
    """
    wrong = [key for key, value in state.items() if not is_finite(value)]
    if wrong:
        raise ValueError(f'not all values are finite in {listed(wrong)}')


def read_config(content: Dict[str, Any], path: Optional[str]) -> Optional[Config]:
    """The config of a model: the given one, or, where it is trusted, that in its checkpoint."""
    if path is not None:
        return load_config(path)
    text = content.get('meta', {}).get('cfg')
    if is_trusted() and isinstance(text, str):
        return Config.fromstring(text, '.py')
    print('no --config: the weights are compared with no model', file=sys.stderr)
    return None


def config_text(cfg: Config) -> str:
    """A config without what belongs to a run or a machine."""
    for name in LOCAL:
        cfg.pop(name, None)
    return cfg.pretty_text


def build_model(cfg: Config) -> nn.Module:
    """Build the model of a config, without memory for its weights.

    Raises:
        ValueError: If the config is not one of a model that is known here.
    """
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    try:
        with torch.device('meta'):
            return MODELS.build(deepcopy(cfg['model']))  # some models complete their config
    except Exception as error:  # configs are wrong in every way
        raise ValueError(f'its config builds no model: {error}') from error


def published_name(content: Dict[str, Any], args: Namespace) -> str:
    """The name of a model: its config's, the run's without its time, or the file's.

    Raises:
        ValueError: If that of the run is no name for a file.
    """
    if args.config is not None:
        return Path(args.config).stem
    run = content.get('meta', {}).get('experiment_name')
    name = re.sub(r'_\d{8}_\d{6}\Z', '', run) if isinstance(run, str) else run
    if not name:
        return Path(args.source).stem
    if not (isinstance(name, str) and NAME.fullmatch(name)):
        raise ValueError(
            f'meta.experiment_name must be letters, digits, ".", "_", "+" and "-", got {run!r}; '
            '--config names the model instead'
        )
    return name


def write_named(folder: Path, name: str, suffix: str, data: bytes) -> Path:
    """Write a file with the first 8 digits of its hash in its name."""
    path = folder / f'{name}-{hashlib.sha256(data).hexdigest()[:8]}{suffix}'
    write_file(path, data)
    print(f'wrote {path}', file=sys.stderr)
    return path


def index_entry(name: str, args: Namespace, file: Path, parameters: Optional[int]) -> str:
    """The entry for the model index, in YAML, indented as in the metafiles.

    Args:
        name (str): Name of the model.
        args (Namespace): Parsed options.
        file (Path): The published file.
        parameters (int, optional): Number of parameters, where it is known.
    """
    entry = dict(Name=name)
    if args.config is not None:
        config = Path(args.config).resolve()
        inside = config.is_relative_to(ROOT)
        entry['Config'] = config.relative_to(ROOT).as_posix() if inside else args.config
    entry['Weights'] = file.name
    entry['Metadata'] = dict(SHA256=hashlib.sha256(file.read_bytes()).hexdigest())
    if parameters is not None:
        entry['Metadata']['Parameters'] = parameters
    return textwrap.indent(yaml.safe_dump([entry], sort_keys=False), '  ')


def publish(args: Namespace) -> None:
    """Publish a checkpoint as the options ask."""
    content = read_checkpoint(args.source, logger='silent')
    meta = dict(harmless_meta(content), mmdia_version=__version__)
    parameters = None
    with naming(args.source):
        chosen = choose_weights(content, args.ema)
        check_finite(chosen)
        cfg = read_config(content, args.config)
        if cfg is not None:
            model = build_model(cfg)
            check_weights(chosen, model.state_dict())
            parameters = sum(p.numel() for p in model.parameters())
            meta['cfg'] = config_text(cfg)
        name = published_name(content, args)
    # Copies share no memory with anything that would be saved along.
    state = {key: value.detach().clone().contiguous() for key, value in chosen.items()}
    data = serialize(dict(meta=meta, state_dict=state))
    file = write_named(args.folder, name, '.pth', data)
    if args.safetensors:
        from safetensors.torch import save

        write_named(args.folder, name, '.safetensors', save(state))
    entry = index_entry(name, args, file, parameters)
    if args.entry is not None:
        write_file(args.entry, entry.encode())
    print(entry, end='')


def main() -> None:
    """Publish."""
    parser = build_parser()
    args = parser.parse_args()
    protect(args)
    try:
        publish(args)
    except (OSError, ValueError, ImportError) as error:
        parser.error(str(error))


if __name__ == '__main__':
    main()
