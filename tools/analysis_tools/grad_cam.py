"""Draw where blocks of classifiers look in an image: Grad-CAM, of several models side by side."""

import csv
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Dict, Optional, Sequence, Tuple

import mmcv
import numpy as np
import torch
from mmcv.transforms import LoadImageFromFile
from mmengine.dataset import Compose
from torch import Tensor

from mmdia.cli.analysis import (
    Subject,
    add_model_arguments,
    add_out_argument,
    check_arguments,
    read_subjects,
)
from mmdia.cli.outputs import user_path
from mmdia.visualization import BlockMaps, Recorder, grad_cam, plot_grad_cam
from mmdia.visualization.style import save_figure

DEVIATION = 'standard deviation'


def parse_args(argv: Optional[Sequence[str]] = None) -> Namespace:
    """Read the command line."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument('image', help='image file')
    add_model_arguments(parser)
    parser.add_argument(
        '--blocks',
        nargs='+',
        metavar='BLOCK',
        help='blocks such as layer4.1, or all; by default the last one',
    )
    parser.add_argument(
        '--branches',
        action='store_true',
        help='look at residual branches, before their gates, instead of the outputs of blocks',
    )
    parser.add_argument(
        '--category', type=int, help='class that is explained; by default the predicted one'
    )
    parser.add_argument(
        '--normalize-by',
        type=user_path,
        metavar='CURVE.csv',
        help='numbers of `attention.py curve` for the same labels: normalise the gates of blocks '
        'by their means and standard deviations',
    )
    add_out_argument(parser, 'grad_cam.png')
    args = parser.parse_args(argv)
    check_arguments(parser, args)
    return args


def preprocess(subject: Subject, path: str) -> Tuple[np.ndarray, Tensor]:
    """The image that a model sees, in RGB, and what is computed of it before the network."""
    loader = subject.cfg.get('test_dataloader') or {}
    pipeline = list((loader.get('dataset') or {}).get('pipeline') or ())
    if not pipeline:
        raise SystemExit(f'{subject.label} has no pipeline in its test_dataloader')
    kinds = (LoadImageFromFile, 'LoadImageFromFile', 'mmcv.LoadImageFromFile')
    if pipeline[0]['type'] not in kinds:
        pipeline = [dict(type='LoadImageFromFile'), *pipeline]  # of data sets without files
    try:
        sample = Compose(pipeline)(dict(img_path=path))
    except (OSError, ValueError, AttributeError) as error:
        raise SystemExit(f'image {path} cannot be read: {error}') from error
    seen = sample['inputs'].permute(1, 2, 0).numpy()
    batch = dict(inputs=[sample['inputs']], data_samples=[sample['data_samples']])
    return mmcv.bgr2rgb(seen), subject.model.data_preprocessor(batch)['inputs']


def layer_gates(subject: Subject, image: Tensor) -> Dict[str, Tensor]:
    """The gates of whole blocks, where the method has such, by the names of the blocks."""
    with Recorder(subject.model.backbone, ['layer_gate']) as recorder, torch.no_grad():
        subject.model.backbone(image)
    records = recorder.records.get('layer_gate', {})
    return {block: record.mean.mean() for block, record in records.items()}


def normalize(gates: Dict[str, Tensor], path: Path, label: str) -> Dict[str, Tensor]:
    """Gates of blocks, less their means over a data set and divided by their deviations."""
    try:
        with path.open(newline='', encoding='utf-8') as file:
            rows = [row for row in csv.DictReader(file) if row['model'] == label]
        known = {row['block']: (float(row['mean']), float(row[DEVIATION])) for row in rows}
        return {
            block: (gate - known[block][0]) / (known[block][1] or 1)
            for block, gate in gates.items()
        }
    except (OSError, KeyError, ValueError) as error:
        raise SystemExit(f'{path} has no curve of {label}: {error}') from error


def explain(subject: Subject, args: Namespace) -> Tuple[np.ndarray, BlockMaps]:
    """The image that a model sees, and its maps."""
    if not hasattr(subject.model, 'head'):
        raise SystemExit(f'{subject.label} is no classifier')
    image, inputs = preprocess(subject, args.image)
    with Recorder(subject.model.backbone, []) as recorder:
        blocks = recorder.blocks
    chosen = args.blocks or blocks[-1:]
    chosen = blocks if chosen == ['all'] else chosen
    try:
        result = grad_cam(subject.model, inputs, args.category, chosen, args.branches)
    except (ImportError, ValueError) as error:
        raise SystemExit(f'{subject.label}: {error}') from error
    gates = layer_gates(subject, inputs)
    if args.normalize_by and gates:
        gates = normalize(gates, args.normalize_by, subject.label)
    if all(block in gates for block in chosen):
        result = result._replace(gates=torch.stack([gates[block] for block in chosen]))
    return image, result


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Draw."""
    args = parse_args(argv)
    models, classes, image = {}, None, None
    for subject in read_subjects(args):
        image, models[subject.label] = explain(subject, args)
        classes = classes or getattr(subject.model, '_dataset_meta', {}).get('classes')
        shown = models[subject.label]
        print(f'{subject.label}: class {shown.category}, softmax score {shown.score:.4f}')
    table = [
        (
            label,
            block,
            maps.category,
            maps.score,
            None if maps.gates is None else maps.gates[i].item(),
            *np.unravel_index(maps.maps[i].argmax(), maps.maps[i].shape),
            float(maps.maps[i].mean()),
        )
        for label, maps in models.items()
        for i, block in enumerate(maps.blocks)
    ]
    header = ('model', 'block', 'class', 'softmax score', 'layer gate')
    header += ('row of the maximum', 'column of the maximum', 'mean')
    for path in save_figure(plot_grad_cam(image, models, classes), args.out, header, table):
        print(path)


if __name__ == '__main__':
    main()
