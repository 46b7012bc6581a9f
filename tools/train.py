"""Train a model of MMPretrain or MMDetection from a config.

Takes every option of both libraries' tools.
"""

from argparse import ArgumentParser, Namespace

from mmengine.config import Config
from mmengine.device import get_device

from mmdia.apis.command_line import add_common_arguments, build_runner, read_config
from mmdia.apis.data_check import check_data
from mmdia.apis.resume import check_resumable, check_work_dir, latest_checkpoint, make_resumable


def parse_args() -> Namespace:
    """Read the command line."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--resume',
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
        cfg.get('default_hooks', {}).get('checkpoint', {}).pop('save_best', None)
    if args.amp:
        if get_device() in ('cpu', 'mps'):
            raise SystemExit('--amp: training in mixed precision needs a GPU, PyTorch sees none')
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if args.auto_scale_lr:
        if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
            raise SystemExit(f'--auto-scale-lr: {args.config} has no auto_scale_lr.base_batch_size')
        cfg.auto_scale_lr.enable = True
    if args.resume is not None:
        cfg.load_from = latest_checkpoint(cfg.work_dir) if args.resume == 'auto' else args.resume
        cfg.resume = cfg.load_from is not None
        if cfg.resume:
            check_resumable(cfg.load_from)


def main() -> None:
    """Train."""
    args = parse_args()
    cfg = read_config(args)
    apply_options(cfg, args)
    check_work_dir(cfg.work_dir)
    make_resumable(cfg)
    runner = build_runner(cfg)
    if not args.no_data_check:
        check_data(runner)
    runner.train()


if __name__ == '__main__':
    main()
