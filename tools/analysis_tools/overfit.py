"""Train a detector on a handful of images until it knows them by heart.

What one does first with a new backbone: a detector that cannot learn eight
images will not learn a dataset. Takes any config of MMDetection, runs on a CPU,
and reports the average precision on the same images.
"""

import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Dict, List

from mmengine.config import Config
from mmengine.runner import Runner

from mmdia.cli.command_line import add_common_arguments, build_runner, read_config
from mmdia.cli.data_check import check_data, inner_configs
from mmdia.cli.precision import train_in_amp
from mmdia.utils.configs import library_of, part_of, scope_of


def pipelines(with_mask: bool, size: int) -> Dict[str, List[dict]]:
    """Pipelines of training and test that show the images as they are."""
    load = dict(type='LoadImageFromFile')
    annotate = dict(type='LoadAnnotations', with_bbox=True, with_mask=with_mask)
    resize = dict(type='Resize', scale=(size, size), keep_ratio=True)
    # CocoMetric takes the annotations from here.
    keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'instances')
    return dict(
        train=[load, annotate, resize, dict(type='PackDetInputs')],
        test=[load, resize, annotate, dict(type='PackDetInputs', meta_keys=keys)],
    )


def set_data(cfg: Config, args: Namespace) -> None:
    """Train and evaluate on the first images of the training that have boxes."""
    dataset = part_of(part_of(cfg, 'train_dataloader'), 'dataset')
    if not dataset:
        raise SystemExit(f'{cfg.filename} has no train_dataloader.dataset')
    if not part_of(part_of(cfg, 'model'), 'backbone'):
        raise SystemExit(f'{cfg.filename} has no model.backbone')
    _, dataset = next(inner_configs(dataset, 'train_dataloader.dataset'))
    dataset.filter_cfg = dict(dataset.get('filter_cfg') or {}, filter_empty_gt=True)
    dataset.indices = args.images
    with_mask = 'mask_head' in cfg.model or 'mask_head' in part_of(cfg.model, 'roi_head')
    pipeline = pipelines(with_mask, args.size)
    cfg.train_dataloader = dict(
        batch_size=min(args.batch_size, args.images),
        num_workers=0,
        sampler=dict(type='InfiniteSampler'),
        dataset=dict(dataset, pipeline=pipeline['train']),
    )
    cfg.val_dataloader = dict(
        batch_size=1,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(dataset, pipeline=pipeline['test']),
    )
    metrics = ['bbox', 'segm'] if with_mask else ['bbox']
    cfg.val_evaluator = dict(type='CocoMetric', metric=metrics)
    cfg.test_dataloader, cfg.test_evaluator = cfg.val_dataloader, cfg.val_evaluator


def set_schedule(cfg: Config, args: Namespace) -> None:
    """Let everything learn, with an optimizer that needs no tuning."""
    interval = max(args.iterations // 5, 1)
    warmup = min(50, args.iterations)
    cfg.train_cfg = dict(
        type='IterBasedTrainLoop', max_iters=args.iterations, val_interval=interval
    )
    cfg.val_cfg, cfg.test_cfg = dict(type='ValLoop'), dict(type='TestLoop')
    cfg.optim_wrapper = dict(
        type='OptimWrapper',
        optimizer=dict(type='AdamW', lr=args.lr, weight_decay=0.01),
        clip_grad=dict(max_norm=10),
    )
    if args.amp:
        train_in_amp(cfg)
    cfg.param_scheduler = [
        dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=warmup),
        dict(type='CosineAnnealingLR', by_epoch=False, begin=0, end=args.iterations),
    ]
    cfg.default_hooks = part_of(cfg, 'default_hooks')
    hooks = cfg.default_hooks
    hooks.logger = dict(type='LoggerHook', interval=10)
    # As often as an evaluation may stop the training.
    hooks.checkpoint = dict(
        type='CheckpointHook',
        by_epoch=False,
        interval=interval,
        max_keep_ckpts=1,
        save_optimizer=False,
        save_param_scheduler=False,
    )
    cfg.custom_hooks = [
        dict(
            type='EarlyStoppingHook',
            monitor='coco/bbox_mAP',
            rule='greater',
            patience=float('inf'),
            stopping_threshold=args.stop_at,
        )
    ]
    cfg.log_processor = dict(type='LogProcessor', window_size=10, by_epoch=False)
    cfg.pop('auto_scale_lr', None)


def set_backbone(cfg: Config, pretrained: bool) -> None:
    """Nothing of the backbone is frozen, and it starts from scratch unless asked."""
    backbone = cfg.model.backbone
    backbone.update(frozen_stages=-1, norm_eval=False)
    if not pretrained:
        backbone.init_cfg = None
    if backbone.get('norm_cfg'):
        backbone.norm_cfg.requires_grad = True


def report(runner: Runner, seconds: float) -> str:
    """One line about how the training went."""
    metrics = runner.val_loop.run()
    losses = runner.message_hub.get_scalar('train/loss').data[0]
    some = min(10, max(len(losses) // 2, 1))
    before, after = losses[:some].mean(), losses[-some:].mean()
    found = ', '.join(
        f'{name} mAP {metrics[f"coco/{name}_mAP"]:.3f}'
        for name in ('bbox', 'segm')
        if f'coco/{name}_mAP' in metrics
    )
    return (
        f'{len(runner.train_dataloader.dataset)} images, {runner.iter} iterations, '
        f'{seconds:.0f} s: '
        f'loss {before:.2f} -> {after:.2f}, {found or "no detections"}'
    )


def parse_args() -> Namespace:
    """Read the command line."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config of a detector')
    parser.add_argument('--images', type=int, default=8, help='number of images (default 8)')
    parser.add_argument('--iterations', type=int, default=400, help='at most (default 400)')
    parser.add_argument(
        '--stop-at', type=float, default=0.9, help='box mAP that is enough (default 0.9)'
    )
    parser.add_argument('--size', type=int, default=320, help='longer side in pixels (default 320)')
    parser.add_argument('--batch-size', type=int, default=4, help='images a step (default 4)')
    parser.add_argument('--lr', type=float, default=1e-3, help='learning rate (default 0.001)')
    parser.add_argument(
        '--pretrained', action='store_true', help="start from the weights of the config's init_cfg"
    )
    add_common_arguments(parser)
    args = parser.parse_args()
    for name in ('images', 'iterations', 'size', 'batch_size'):
        if getattr(args, name) < 1:
            parser.error(f'--{name.replace("_", "-")} must be at least 1')
    return args


def main() -> None:
    """Overfit."""
    args = parse_args()
    # Apart from the real training, which would continue from these checkpoints.
    args.work_dir = args.work_dir or str(Path('work_dirs', 'overfit', Path(args.config).stem))
    cfg = read_config(args)
    if library_of(cfg) != 'mmdet':
        raise SystemExit(f'{args.config} is not a config of MMDetection')
    cfg.default_scope = scope_of(cfg)  # for what is named below
    set_data(cfg, args)
    set_schedule(cfg, args)
    set_backbone(cfg, args.pretrained)
    runner = build_runner(cfg)
    if not args.no_data_check:
        check_data(runner)
    start = time.time()
    runner.train()
    print(report(runner, time.time() - start))


if __name__ == '__main__':
    main()
