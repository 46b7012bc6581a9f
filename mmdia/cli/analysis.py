"""What the tools share that run trained models on images and draw what they see."""

from argparse import ArgumentParser, Namespace
from functools import partial
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, set_random_seed
from mmengine.utils import ProgressBar
from torch.utils.data import DataLoader

from mmdia.apis import get_model
from mmdia.utils.configs import scope_of
from mmdia.visualization.style import SUFFIXES

from .command_line import (
    add_config_options,
    add_trust_argument,
    change,
    load_config,
    protect,
    set_loader_options,
)
from .data_check import build_or_stop
from .outputs import check_file, user_path
from .weights import check_weights, read_weights

FRESH = 'none'


class Subject(NamedTuple):
    """A model that is looked at.

    Args:
        label (str): What pictures call it.
        cfg (Config): Its config.
        model (BaseModel): The model, in evaluation mode.
    """

    label: str
    cfg: Config
    model: BaseModel


def add_model_arguments(parser: ArgumentParser) -> None:
    """Add the arguments that say which models to look at; see :func:`read_subjects`."""
    parser.add_argument('config', help='config file, or its name if it comes with mmdia')
    parser.add_argument(
        'checkpoint',
        help=f'checkpoint file, URL, or name such as mmdia://NAME; {FRESH} for fresh weights',
    )
    parser.add_argument(
        '--beside',
        nargs=2,
        action='append',
        default=[],
        metavar=('CONFIG', 'CHECKPOINT'),
        help='another model to be shown beside it; can be repeated',
    )
    parser.add_argument('--labels', nargs='+', help='what to call the models in the picture')
    add_config_options(parser)
    parser.add_argument('--seed', type=int, default=0, help='seed of all that is random')
    parser.add_argument('--device', default='cpu', help='such as cuda:1 (default cpu)')
    add_trust_argument(parser)


def add_data_arguments(parser: ArgumentParser, split: str, max_images: int) -> None:
    """Add the arguments that say which images to run on.

    Args:
        parser (ArgumentParser): The tool's parser.
        split (str): The split that is used by default.
        max_images (int): How many images are used by default.
    """
    parser.add_argument(
        '--split',
        choices=['train', 'val', 'test'],
        default=split,
        help=f'data of the config to run on (default {split})',
    )
    parser.add_argument(
        '--max-images',
        type=int,
        default=max_images,
        help=f'number of images, drawn at random (default {max_images}); 0 for all',
    )
    parser.add_argument('--batch-size', type=int, help="by default the config's")


def add_out_argument(parser: ArgumentParser, name: str) -> None:
    """Add the argument for the picture; ``name`` is that of its file by default."""
    parser.add_argument(
        '--out',
        type=user_path,
        default=Path('work_dirs', 'analysis', name),
        help='file for the picture (.png, .pdf or .svg), the numbers go beside it (.csv); '
        f'by default work_dirs/analysis/{name}',
    )


def check_arguments(parser: ArgumentParser, args: Namespace) -> None:
    """Stop at values that cannot be used, of the arguments that the above add."""
    if args.out.suffix not in SUFFIXES:
        parser.error(f'--out must end in {", ".join(SUFFIXES)}, got {args.out}')
    for name, least in (('max_images', 0), ('batch_size', 1)):
        value = getattr(args, name, None)
        if value is not None and value < least:
            parser.error(f'--{name.replace("_", "-")} must be at least {least}, got {value}')
    if hasattr(args, 'beside'):
        check_labels(parser, args.labels, 1 + len(args.beside))
    if hasattr(args, 'device'):
        check_device(parser, args.device)
    check_file('--out', args.out)


def check_device(parser: ArgumentParser, device: str) -> None:
    """Stop unless PyTorch computes on a device."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        parser.error(f'--device {device} cannot be used: {error}')


def check_labels(parser: ArgumentParser, labels: Optional[List[str]], number: int) -> None:
    """Stop unless labels, where there are any, are of this number and differ."""
    if labels is not None and not len(labels) == len(set(labels)) == number:
        parser.error(f'--labels needs {number} different labels, got {" ".join(labels)}')


def labels_of(pairs: List[List[str]]) -> List[str]:
    """Labels of configs and checkpoints: the configs' names, as far as they differ."""
    names = [Path(config).stem for config, _ in pairs]
    if len(set(names)) < len(names):
        names = [f'{name} {Path(checkpoint).stem}' for name, (_, checkpoint) in zip(names, pairs)]
    if len(set(names)) < len(names):
        names = [f'{name} ({number})' for number, name in enumerate(names, 1)]
    return names


def read_subjects(args: Namespace) -> Iterator[Subject]:
    """Build the models that the arguments name, one after the other.

    Raises:
        SystemExit: If a config or a checkpoint cannot be used.
    """
    protect(args)
    pairs = [[args.config, args.checkpoint], *args.beside]
    for label, (config, checkpoint) in zip(args.labels or labels_of(pairs), pairs):
        yield Subject(label, *read_model(config, checkpoint, args))


def read_model(config: str, checkpoint: str, args: Namespace) -> Tuple[Config, BaseModel]:
    """Read a config, with its changes, and build its model with the weights of a checkpoint.

    Args:
        config (str): The file of the config, or its name.
        checkpoint (str): The checkpoint; ``'none'`` for fresh weights.
        args (Namespace): Parsed options: ``cfg_options``, ``seed`` and ``device``.

    Returns:
        Tuple[Config, BaseModel]: The config, and the model in evaluation mode.

    Raises:
        SystemExit: If any of it cannot be used.
    """
    cfg = load_config(config)
    change(cfg, args.cfg_options)
    if cfg.get('model') is None:
        raise SystemExit(f'config {config} has no model')
    if 'backbone' not in cfg.model:  # such as a tracker, or two copies of a detector
        raise SystemExit(f'config {config} has no model.backbone')
    init_default_scope(scope_of(cfg))
    set_random_seed(args.seed)
    MMLogger.get_current_instance().setLevel('WARNING')
    if checkpoint == FRESH:
        model = get_model(cfg, device=args.device)
        model.init_weights()
        return cfg, model
    weights = read_weights(checkpoint)
    model = get_model(cfg, checkpoint, args.device)
    check_weights(checkpoint, weights, model)
    return cfg, model


def build_loader(cfg: Config, args: Namespace) -> DataLoader:
    """Build the data loader of the split that the arguments name, in random order.

    Raises:
        SystemExit: If the config has none, or its data cannot be read.
    """
    key = f'{args.split}_dataloader'
    if cfg.get(key) is None:
        raise SystemExit(f'config {cfg.filename} has no {key}')
    set_loader_options(cfg, no_pin_memory=True, no_persistent_workers=True)
    loader = cfg[key]
    # All images with equal chance: the first of a test split may be of a few classes.
    loader.sampler = dict(type='DefaultSampler', shuffle=True)
    loader.pop('batch_sampler', None)
    if args.batch_size is not None:
        loader.batch_size = args.batch_size
    build = partial(Runner.build_dataloader, loader, seed=args.seed)
    return build_or_stop(build, key, loader)


def batches(
    subject: Subject, args: Namespace, training: bool = False, loader: Optional[DataLoader] = None
) -> Iterator[dict]:
    """Preprocessed batches of at most so many images as the arguments say.

    A progress bar counts them.

    Args:
        subject (Subject): The model.
        args (Namespace): The arguments.
        training (bool): Whether to preprocess as in training. Defaults to False.
        loader (DataLoader, optional): See :func:`build_loader`. Defaults to a
            new one.

    Yields:
        dict: ``inputs``, images of shape (N, 3, H, W), and ``data_samples``.
    """
    loader = build_loader(subject.cfg, args) if loader is None else loader
    number = len(loader.dataset)
    left = min(args.max_images or number, number)
    print(subject.label)
    progress = ProgressBar(left)
    for batch in loader:
        data = subject.model.data_preprocessor(batch, training)
        size = min(len(data['inputs']), left)
        yield dict(inputs=data['inputs'][:size], data_samples=data['data_samples'][:size])
        progress.update(size)
        left -= size
        if not left:
            break
    print()


def classes_of(loader: DataLoader) -> Dict[int, str]:
    """The names of the classes of a dataset; empty where it names none."""
    return dict(enumerate(loader.dataset.metainfo.get('classes') or ()))
