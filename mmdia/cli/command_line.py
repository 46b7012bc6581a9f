"""What the training and testing tools share: options, config and runner."""

import os
import re
from argparse import ArgumentParser, Namespace
from itertools import chain, count
from pathlib import Path
from typing import Any, Iterator

from mmengine.config import Config, ConfigDict, DictAction
from mmengine.logging import print_log
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch import nn

from mmdia.checkpoints import load_safely
from mmdia.checkpoints.reader import TRUST
from mmdia.utils.configs import named_configs

from .launch import start_cpu_processes
from .replaced import check_replaced

# Spaces within the items of a list, which MMEngine drops.
LOST_SPACES = re.compile(r'[^\s,(\[] +[^\s,)\]]')


class ConfigOptions(DictAction):
    """MMEngine's action for ``KEY=VALUE``, which tells users of wrong ones, and keeps spaces."""

    @staticmethod
    def _parse_iterable(val: str) -> Any:
        """Parse a value."""
        text = val.strip('\'" ')
        if ',' not in text and text[:1] not in ('(', '['):
            return DictAction._parse_int_float_bool(text)
        if LOST_SPACES.search(text):
            raise ValueError('spaces within the items of a list would be lost')
        try:
            return DictAction._parse_iterable(text)
        except RecursionError as error:
            raise ValueError(
                'a comma in brackets that are not around the whole value; '
                'give the entries of a dict one by one, such as model.backbone.depth=18'
            ) from error

    def __call__(self, parser: ArgumentParser, namespace: Namespace, values: list, *args) -> None:
        """Parse the values of the option."""
        try:
            super().__call__(parser, namespace, values, *args)
        except (ValueError, AssertionError) as error:
            given = ' '.join(values)
            parser.error(f'{self.option_strings[0]} takes KEY=VALUE, got {given}: {error}')


def add_common_arguments(parser: ArgumentParser) -> None:
    """Add the options that every tool takes.

    Args:
        parser (ArgumentParser): The tool's parser.
    """
    parser.add_argument(
        '--work-dir', type=os.path.expanduser, help='folder for logs, checkpoints and results'
    )
    parser.add_argument('--amp', action='store_true', help='compute in automatic mixed precision')
    parser.add_argument(
        '--channels-last',
        action='store_true',
        help='keep channels innermost in memory, which convolutions prefer on many devices',
    )
    parser.add_argument(
        '--no-pin-memory', action='store_true', help='do not pin the memory of data loaders'
    )
    parser.add_argument(
        '--no-persistent-workers',
        action='store_true',
        help='start the workers of data loaders anew every epoch',
    )
    add_config_options(parser)
    parser.add_argument(
        '--no-data-check',
        action='store_true',
        help='do not check the datasets; see docs/datasets.md for what is checked',
    )
    add_trust_argument(parser)
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    # torchrun sets the variable; torch.distributed.launch passes the option.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def add_config_options(parser: ArgumentParser) -> None:
    """Add the option that changes configs."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigOptions,
        default={},
        metavar='KEY=VALUE',
        help='entries to change in the config, such as model.backbone.depth=18 or key="[a,b]"; '
        'no spaces within the items of a list',
    )


def add_trust_argument(parser: ArgumentParser) -> None:
    """Add the option for checkpoints that hold code; see :func:`protect`."""
    parser.add_argument(
        '--trust',
        action='store_true',
        help='run the code that checkpoints bring along; without it, such files are refused',
    )


def protect(args: Namespace) -> None:
    """Read checkpoints without running their code, unless the options trust them.

    Args:
        args (Namespace): Parsed options, with ``trust``.
    """
    if args.trust:
        os.environ[TRUST] = '1'
    load_safely()


def load_config(path: str) -> Config:
    """Read a config file.

    Args:
        path (str): The file, or the name of a config of this package.

    Returns:
        Config: The config.

    Raises:
        SystemExit: If it cannot be read, or is not a config.
    """
    try:
        cfg = Config.fromfile(named_configs().get(path, path))
    except RecursionError as error:
        raise SystemExit(f'config {path} cannot be read: its _base_ leads back to it') from error
    except Exception as error:  # configs are Python, and fail in every way
        reason = ' '.join(f'{type(error).__name__}: {error}'.split())
        raise SystemExit(f'config {path} cannot be read: {reason}') from error
    try:
        check_replaced(cfg)
    except ValueError as error:
        raise SystemExit(f'config {path}: {error}') from error
    return cfg


def change(cfg: Config, options: dict) -> None:
    """Change entries of a config, or exit with an error where that has no place for them."""
    try:
        cfg.merge_from_dict(options)
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise SystemExit(f'--cfg-options do not fit {cfg.filename}: {error}') from error


def read_config(args: Namespace) -> Config:
    """Read a config file and apply the common options.

    From then on, :func:`protect` holds.

    Args:
        args (Namespace): Parsed options, with ``config`` for the file.

    Returns:
        Config: The config. Its ``work_dir`` is that of the options, of the
        file, or ``work_dirs/<name of the file>``.

    Raises:
        SystemExit: If the config or an option cannot be used.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    protect(args)
    cfg = load_config(args.config)
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs', Path(args.config).stem))
    change(cfg, args.cfg_options)
    set_loader_options(cfg, args.no_pin_memory, args.no_persistent_workers)
    if args.channels_last:
        add_hook(cfg, 'channels_last', 'mmdia.ChannelsLastHook')
    return cfg


def add_hook(cfg: Config, name: str, kind: str) -> None:
    """Add a hook without options to the default hooks of a config.

    Args:
        cfg (Config): The config to change.
        name (str): Name among the default hooks.
        kind (str): Type of the hook.
    """
    cfg.default_hooks = dict(cfg.get('default_hooks') or {}, **{name: dict(type=kind)})


def data_loaders(cfg: Config) -> Iterator[ConfigDict]:
    """The configs of all data loaders that a config has."""
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        if cfg.get(name) is not None:
            yield cfg[name]


def set_loader_options(cfg: Config, no_pin_memory: bool, no_persistent_workers: bool) -> None:
    """Complete the configs of data loaders.

    Loaders of MMPretrain's configs rely on its tools to name their collate
    function; MMDetection's come complete.

    Args:
        cfg (Config): The config to change.
        no_pin_memory (bool): Whether to switch pinned memory off.
        no_persistent_workers (bool): Whether to switch persistent workers off.
    """
    for loader in data_loaders(cfg):
        if cfg.get('default_scope') == 'mmpretrain':
            loader.setdefault('collate_fn', dict(type='default_collate'))
            loader.setdefault('pin_memory', True)
            loader.setdefault('persistent_workers', loader.get('num_workers', 0) > 0)
        if no_pin_memory:
            loader.pin_memory = False
        if no_persistent_workers:
            loader.persistent_workers = False


def may_overwrite(path: Path, cfg: Config) -> bool:
    """Whether nothing is lost by a dump: there is the same, an earlier one, or no file.

    An earlier one says that its work dir is that of the config, and is not what the config
    was read from.
    """
    if not path.is_file():
        return not os.path.lexists(path)
    text = path.read_text(encoding='utf-8', errors='replace')
    if text == cfg.dump():
        return True
    entry = Config(dict(work_dir=cfg.work_dir), filename=path.name, cfg_text=' ').dump()
    # The text of a config is that of its file and of its bases.
    return entry.strip('{}') in text and text not in cfg.text


def spare_files(cfg: Config) -> None:
    """Rename a config whose dump in the work dir would overwrite a file that is no dump.

    Args:
        cfg (Config): A complete config. Its ``filename`` names the dump. If it is renamed,
            its ``experiment_name`` becomes what it would have been.
    """
    if cfg.filename is None:
        return
    source = Path(cfg.filename)
    stem = re.sub(r'_dump(_\d+)?$', '', source.stem)
    stems = chain([source.stem, f'{stem}_dump'], (f'{stem}_dump_{i}' for i in count(2)))
    names = (source.with_stem(stem) for stem in stems)
    name = next(name for name in names if may_overwrite(Path(cfg.work_dir, name.name), cfg))
    if name != source:
        cfg.setdefault('experiment_name', source.stem)
        object.__setattr__(cfg, '_filename', str(name))  # others would be entries
        print_log(
            f'{Path(cfg.work_dir, source.name)} is left as it is, the dumped config is {name.name}',
            logger='current',
        )


def build_runner(cfg: Config) -> Runner:
    """Build the runner that a config asks for.

    Args:
        cfg (Config): A complete config. MMEngine dumps it into the work dir, where
            it overwrites nothing but earlier dumps.

    Returns:
        Runner: The runner; MMEngine's own unless the config has a
        ``runner_type``.
    """
    start_cpu_processes(cfg)
    spare_files(cfg)
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    if isinstance(runner.model, nn.Module) and not runner.distributed:
        # What is synchronized among devices cannot run on a single CPU. Other runners, such as
        # MMEngine's FlexibleRunner, build the model later.
        runner.model = revert_sync_batchnorm(runner.model)
    return runner
