"""Train a model from a config of MMPretrain, MMDetection, MMSegmentation or MMRotate.

Takes every option of these libraries' tools.
"""

import os
from argparse import ArgumentParser, Namespace
from typing import Optional

from mmengine.config import Config

from mmdia.cli.command_line import add_common_arguments, build_runner, read_config
from mmdia.cli.data_check import check_data
from mmdia.cli.intervals import check_intervals
from mmdia.cli.launch import is_first_process
from mmdia.cli.outputs import check_folder
from mmdia.cli.precision import train_in_amp
from mmdia.cli.resume import make_resumable, resume_or_stop
from mmdia.cli.weights import load_or_stop
from mmdia.cli.work_dir import latest_checkpoint, lock_work_dir
from mmdia.utils.configs import part_of


def parse_args() -> Namespace:
    """Read the command line."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config file, or its name if it comes with mmdia')
    parser.add_argument(
        '--resume',
        type=os.path.expanduser,
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='continue from a checkpoint; by default the latest in the work dir',
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by the batch size, relative to that of the config',
    )
    parser.add_argument(
        '--no-validate', action='store_true', help='do not evaluate during the training'
    )
    add_common_arguments(parser)
    return parser.parse_args()


def apply_options(cfg: Config, args: Namespace) -> None:
    """Apply the options that only training has."""
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        part_of(part_of(cfg, 'default_hooks'), 'checkpoint').pop('save_best', None)
    if args.amp:
        train_in_amp(cfg)
    if args.auto_scale_lr:
        if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
            raise SystemExit(f'--auto-scale-lr: {args.config} has no auto_scale_lr.base_batch_size')
        cfg.auto_scale_lr.enable = True


def check_config(cfg: Config) -> None:
    """Exit with an error unless a config has what a training needs."""
    for key in ('model', 'train_dataloader', 'optim_wrapper', 'train_cfg'):
        if cfg.get(key) is None:
            raise SystemExit(f'config {cfg.filename} has no {key}, and cannot be trained')


def choose_checkpoint(cfg: Config, given: Optional[str]) -> Optional[str]:
    """The checkpoint to resume from, or None.

    Args:
        cfg (Config): The config, which may ask for it too.
        given (str, optional): The option: a checkpoint, or ``'auto'``.
    """
    if given is None and cfg.get('resume'):
        given = cfg.get('load_from') or 'auto'
    return latest_checkpoint(cfg.work_dir) if given == 'auto' else given


def train(cfg: Config, checkpoint: Optional[str], data_check: bool) -> None:
    """Train a network from the beginning, or from a checkpoint of it.

    Args:
        cfg (Config): A complete config.
        checkpoint (str, optional): What to resume.
        data_check (bool): Whether to check the data; see :func:`check_data`.
    """
    make_resumable(cfg)
    runner = build_runner(cfg)
    load_or_stop(runner, strict=False)
    if data_check:
        check_data(runner)
    if checkpoint is not None:
        resume_or_stop(runner, checkpoint)
    runner.train()


def main() -> None:
    """Train."""
    args = parse_args()
    cfg = read_config(args)
    check_config(cfg)
    apply_options(cfg, args)
    check_intervals(cfg)
    checkpoint = choose_checkpoint(cfg, args.resume)
    if not is_first_process(cfg.launcher):
        train(cfg, checkpoint, not args.no_data_check)
        return
    check_folder('work dir', cfg.work_dir)
    with lock_work_dir(cfg.work_dir):
        train(cfg, checkpoint, not args.no_data_check)


if __name__ == '__main__':
    main()
