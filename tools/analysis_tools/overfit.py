"""Train a detector on a handful of images until it knows them by heart.

What one does first with a new backbone: a detector that cannot learn eight
images will not learn a dataset. Takes any config of a detector on data in COCO's
format, runs on a CPU, and reports the average precision on the same images.
"""

import json
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Dict, List, Sequence, Set

import cv2
import mmcv
from mmengine.config import Config, ConfigDict
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import Runner

from mmdia.cli.command_line import (
    add_common_arguments,
    build_runner,
    read_config,
)
from mmdia.cli.data_check import check_data
from mmdia.cli.precision import train_in_amp
from mmdia.utils.configs import is_detection, part_of, scope_of
from mmdia.utils.validation import registered_type


def source_dataset(cfg: Config) -> ConfigDict:
    """The config of the dataset that the training images come from."""
    if not cfg.get('train_dataloader'):
        raise SystemExit(f'{cfg.filename} has no train_dataloader')
    dataset = cfg.train_dataloader.dataset
    while 'dataset' in dataset or 'datasets' in dataset:
        dataset = dataset.dataset if 'dataset' in dataset else dataset.datasets[0]
    if not dataset.get('ann_file'):
        raise SystemExit(f'{cfg.filename}: the dataset {dataset.type} has no ann_file')
    return dataset


def describe_classes(source: ConfigDict) -> dict:
    """The names of a dataset's classes, and what else is known of it."""
    init_default_scope('mmdet')
    kind = source.type
    if isinstance(kind, str) and '.' not in kind:
        kind = f'mmdet.{kind}'
    dataset = registered_type(DATASETS, kind)
    if dataset is None:
        raise SystemExit(f'no dataset of type {source.type} is registered')
    return dataset._load_metainfo(source.get('metainfo'))


def is_usable(annotation: dict, categories: Set[int], with_mask: bool) -> bool:
    """Whether MMDetection learns from an annotation."""
    if annotation['category_id'] not in categories or not annotation.get('bbox'):
        return False
    *_, width, height = annotation['bbox']
    outlined = annotation.get('segmentation') or not with_mask
    left_out = annotation.get('iscrowd') or annotation.get('ignore')
    return bool(min(width, height) >= 1 and annotation['area'] > 0 and outlined and not left_out)


def is_readable(path: Path) -> bool:
    """Whether a file is an image."""
    try:
        return path.is_file() and mmcv.imread(str(path)) is not None
    except cv2.error:  # an empty file
        return False


def choose_images(
    ann_file: Path, folder: Path, count: int, classes: Sequence[str], with_mask: bool
) -> dict:
    """The part of an annotation file that belongs to its first images with objects.

    Args:
        ann_file (Path): Annotations in COCO's format.
        folder (Path): Folder of the images.
        count (int): Number of images.
        classes (Sequence[str]): The classes that count.
        with_mask (bool): Whether only objects with masks count.

    Returns:
        dict: Annotations in COCO's format.
    """
    try:
        content = json.loads(ann_file.read_text(encoding='utf-8'))
        categories = {c['id'] for c in content['categories'] if c['name'] in classes}
        annotations = [a for a in content['annotations'] if is_usable(a, categories, with_mask)]
        with_objects = {a['image_id'] for a in annotations}
        images = [image for image in content['images'] if image['id'] in with_objects][:count]
        paths = [folder / image['file_name'] for image in images]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SystemExit(
            f'{ann_file} is not an annotation file in COCO format: {error!r}'
        ) from error
    if len(images) < count:
        objects = 'masks' if with_mask else 'boxes'
        raise SystemExit(
            f"{ann_file} has {objects} of the config's classes in {len(images)} images, "
            f'not in {count}'
        )
    for path in paths:
        if not is_readable(path):
            raise SystemExit(f'image {path} cannot be read')
    chosen = {image['id'] for image in images}
    annotations = [a for a in annotations if a['image_id'] in chosen]
    return dict(content, images=images, annotations=annotations)


def pipelines(with_mask: bool, size: int) -> Dict[str, List[dict]]:
    """Pipelines of training and test that show the images as they are."""
    load = dict(type='LoadImageFromFile')
    annotate = dict(type='LoadAnnotations', with_bbox=True, with_mask=with_mask)
    resize = dict(type='Resize', scale=(size, size), keep_ratio=True)
    keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')
    return dict(
        train=[load, annotate, resize, dict(type='PackDetInputs')],
        test=[load, resize, annotate, dict(type='PackDetInputs', meta_keys=keys)],
    )


def set_data(cfg: Config, args: Namespace) -> None:
    """Train and evaluate on the chosen images."""
    source = source_dataset(cfg)
    if not part_of(part_of(cfg, 'model'), 'backbone'):
        raise SystemExit(f'{cfg.filename} has no model.backbone')
    root = Path(source.get('data_root') or '')
    folder = root / (source.get('data_prefix') or {}).get('img', '')
    metainfo = describe_classes(source)
    with_mask = 'mask_head' in cfg.model or 'mask_head' in part_of(cfg.model, 'roi_head')
    content = choose_images(
        root / source.ann_file, folder, args.images, metainfo['classes'], with_mask
    )
    ann_file = Path(cfg.work_dir).resolve() / 'overfit.json'
    if ann_file == (root / source.ann_file).resolve():
        raise SystemExit(f'--work-dir {cfg.work_dir} holds the annotations of the config itself')
    ann_file.parent.mkdir(parents=True, exist_ok=True)
    ann_file.write_text(json.dumps(content), encoding='utf-8')

    pipeline = pipelines(with_mask, args.size)
    dataset = dict(
        type='CocoDataset',
        ann_file=str(ann_file),
        data_prefix=dict(img=str(folder.resolve())),
        metainfo=metainfo,
    )
    cfg.train_dataloader = dict(
        batch_size=min(args.batch_size, args.images),
        num_workers=0,
        sampler=dict(type='InfiniteSampler'),
        dataset=dict(**dataset, pipeline=pipeline['train']),
    )
    cfg.val_dataloader = dict(
        batch_size=1,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(**dataset, test_mode=True, pipeline=pipeline['test']),
    )
    metrics = ['bbox', 'segm'] if with_mask else ['bbox']
    cfg.val_evaluator = dict(type='CocoMetric', ann_file=str(ann_file), metric=metrics)
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


def report(runner: Runner, args: Namespace, seconds: float) -> str:
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
        f'{args.images} images, {runner.iter} iterations, {seconds:.0f} s: '
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
    if not is_detection(cfg):
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
    print(report(runner, args, time.time() - start))


if __name__ == '__main__':
    main()
