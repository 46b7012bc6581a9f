"""Evaluate a checkpoint by a config of MMPretrain, MMDetection, MMSegmentation or MMRotate.

Takes every option of the tools of MMPretrain and MMDetection.
"""

import os
from argparse import ArgumentParser, Namespace
from copy import deepcopy
from pathlib import Path
from typing import List

import mmengine
from mmengine.config import Config, ConfigDict
from mmengine.dist import is_main_process
from mmengine.evaluator import DumpResults
from mmengine.runner import Runner

from mmdia.cli.command_line import (
    add_common_arguments,
    build_runner,
    read_config,
)
from mmdia.cli.data_check import check_data, inner_configs
from mmdia.cli.launch import is_first_process
from mmdia.cli.outputs import check_file, check_folder
from mmdia.cli.precision import evaluate_in_amp
from mmdia.cli.weights import load_or_stop
from mmdia.utils.configs import is_detection, is_segmentation, library_of, part_of

SUFFIXES = {'pred': ('.pkl', '.pickle'), 'metrics': ('.pkl', '.pickle', '.json', '.yml', '.yaml')}


def parse_args() -> Namespace:
    """Read the command line."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config file, or its name if it comes with mmdia')
    parser.add_argument('checkpoint', help='checkpoint file, URL, or name such as mmdia://NAME')
    parser.add_argument(
        '--out', type=os.path.expanduser, metavar='FILE', help='file for the results (.pkl)'
    )
    parser.add_argument(
        '--out-item',
        choices=['metrics', 'pred'],
        help='what to write to --out: predictions (default) or metrics (.pkl, .json or .yml)',
    )
    parser.add_argument('--show', action='store_true', help='show results in a window')
    parser.add_argument(
        '--show-dir',
        type=os.path.expanduser,
        metavar='DIR',
        help='folder for images of the results',
    )
    parser.add_argument(
        '--interval', type=int, default=1, help='show every n-th image (classification)'
    )
    parser.add_argument('--wait-time', type=float, help='seconds for which a window is shown')
    parser.add_argument('--tta', action='store_true', help='augment the images of the test')
    add_common_arguments(parser)
    args = parser.parse_args()
    if args.out_item and not args.out:
        parser.error('--out-item needs --out')
    args.out_item = args.out_item or 'pred'
    suffixes = SUFFIXES[args.out_item]
    if args.out and not args.out.endswith(suffixes):
        parser.error(f'--out must end in {" or ".join(suffixes)}, got {args.out}')
    if args.interval < 1:
        parser.error(f'--interval must be at least 1, got {args.interval}')
    if args.wait_time is not None and not args.wait_time >= 0:
        parser.error(f'--wait-time must be at least 0, got {args.wait_time}')
    if args.show and not opens_windows():
        parser.error('--show needs a display, and matplotlib finds none; --show-dir writes files')
    if args.show_dir and Path(args.show_dir).exists() and not Path(args.show_dir).is_dir():
        parser.error(f'--show-dir {args.show_dir} is not a folder')
    return args


def opens_windows() -> bool:
    """Whether matplotlib, by which MMEngine shows images, has windows here; else it would wait."""
    import matplotlib.pyplot as plt  # takes a while

    framework = plt.figure().canvas.required_interactive_framework
    plt.close()
    return framework is not None


def check_config(cfg: Config, path: str) -> None:
    """Exit with an error unless a config has what a test needs."""
    for key in ('model', 'test_dataloader', 'test_cfg', 'test_evaluator'):
        if cfg.get(key) is None:
            raise SystemExit(f'config {path} has no {key}, and cannot be tested')


def show_results(cfg: Config, args: Namespace) -> None:
    """Set the visualization hook of the model's library as the options ask."""
    hook = part_of(part_of(cfg, 'default_hooks'), 'visualization')
    if not hook:
        raise SystemExit(f'--show, --show-dir: {args.config} has no default_hooks.visualization')
    given = dict(show=args.show or None, wait_time=args.wait_time)
    if is_detection(cfg):
        given.update(draw=True, test_out_dir=args.show_dir)
    elif is_segmentation(cfg):
        given.update(draw=True)
        if args.show_dir and not part_of(cfg, 'visualizer'):
            raise SystemExit(f'--show-dir: {args.config} has no visualizer')
        if args.show_dir:
            cfg.visualizer.save_dir = args.show_dir
    else:
        given.update(enable=True, out_dir=args.show_dir, interval=args.interval)
    hook.update({key: value for key, value in given.items() if value is not None})


def augmented(pipeline: List[dict], library: str) -> List[dict]:
    """A pipeline that ends with two flips in the place of one sample."""
    # With their scopes, since a config that gives classes may have none.
    flips = [dict(type=f'{library}.RandomFlip', prob=prob) for prob in (1.0, 0.0)]
    pack = deepcopy(pipeline[-1])
    if 'meta_keys' in pack:
        pack.meta_keys = tuple(dict.fromkeys((*pack.meta_keys, 'flip', 'flip_direction')))
    return [*pipeline[:-1], dict(type='TestTimeAug', transforms=[flips, [pack]])]


def augment_tests(cfg: Config) -> None:
    """Average predictions over flips, unless the config has its own augmentation.

    Raises:
        SystemExit: If it has none, and is neither of a classifier nor of MMDetection.
    """
    complete = cfg.get('tta_model') and cfg.get('tta_pipeline')
    if not complete and library_of(cfg) not in ('mmpretrain', 'mmdet'):
        raise SystemExit(f'--tta: {cfg.filename} needs a tta_model and a tta_pipeline')
    library = 'mmdet' if is_detection(cfg) else 'mmpretrain'
    outermost = part_of(cfg.test_dataloader, 'dataset')
    datasets = dict(inner_configs(outermost, 'test_dataloader.dataset'))
    for key, dataset in datasets.items():
        if not dataset.get('pipeline'):
            raise SystemExit(f'--tta: {key} has no pipeline')
    pipelines = [
        cfg.get('tta_pipeline') or augmented(dataset.pipeline, library)
        for dataset in datasets.values()
    ]
    if cfg.get('tta_model') is None:
        nms = dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100)
        cfg.tta_model = (
            dict(type='DetTTAModel', tta_cfg=nms)
            if is_detection(cfg)
            else dict(type='mmpretrain.AverageClsScoreTTA')
        )
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
    for dataset, pipeline in zip(datasets.values(), pipelines):
        dataset.pipeline = pipeline


def dump_predictions(runner: Runner, path: str) -> None:
    """Make a runner write the predictions of its test to a file."""
    if is_detection(runner.cfg):
        from mmdet.evaluation import DumpDetResults as Dump
    else:
        Dump = DumpResults
    runner.test_evaluator.metrics.append(Dump(out_file_path=path))


def main() -> None:
    """Test."""
    args = parse_args()
    cfg = read_config(args)
    check_config(cfg, args.config)
    if is_first_process(cfg.launcher):
        check_folder('work dir', cfg.work_dir)
        if args.out and '://' not in args.out:
            check_file('--out', args.out)
    cfg.load_from = args.checkpoint
    if args.amp:
        evaluate_in_amp(cfg, 'test_cfg')
    if args.show or args.show_dir:
        show_results(cfg, args)
    if args.tta:
        augment_tests(cfg)
    runner = build_runner(cfg)
    load_or_stop(runner, strict=True)
    if not args.no_data_check:
        check_data(runner)
    if args.out and args.out_item == 'pred':
        dump_predictions(runner, args.out)
    metrics = runner.test()
    if args.out and args.out_item == 'metrics' and is_main_process():
        mmengine.dump(metrics, args.out)


if __name__ == '__main__':
    main()
