"""Draw what the attention of trained networks does.

curve        a number per block, mean and deviation over images, or by class or image
scores       how much each block attends to each block before it (MRLA-B, DLA-B)
integration  how much the gates of a block depend on those of each block before it
"""

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import torch
from matplotlib.figure import Figure
from mmengine.utils import ProgressBar
from torch import Tensor

from mmdia.cli.analysis import (
    Subject,
    add_data_arguments,
    add_model_arguments,
    add_out_argument,
    batches,
    build_loader,
    check_arguments,
    classes_of,
    read_subjects,
)
from mmdia.visualization import Recorder
from mmdia.visualization.integration import Integration, gini_importance, plot_integration
from mmdia.visualization.layers import LayerValues, plot_layer_curves, plot_layer_rows
from mmdia.visualization.scores import Scores, plot_scores, summarize_scores
from mmdia.visualization.style import save_figure

SCORE = 'layer_score'
# What stands for the attention of a block, the first of these that a method has.
VALUES = ('layer_gate', 'gate', 'shortcut_gate', 'own_score', 'spatial_gate')
Picture = Tuple[Figure, Sequence[str], List[Sequence]]


def parse_args(argv: Optional[Sequence[str]] = None) -> Namespace:
    """Read the command line."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    subparsers = parser.add_subparsers(dest='what', required=True)
    curve, scores, integration = map(subparsers.add_parser, ('curve', 'scores', 'integration'))
    for each, name in ((curve, 'curve'), (scores, 'scores'), (integration, 'integration')):
        add_model_arguments(each)
        add_data_arguments(each, 'test', 0 if each is curve else 1000)
        add_out_argument(each, f'{name}.png')
    for each in (curve, integration):
        each.add_argument('--value', help=f'what to look at; by default one of {", ".join(VALUES)}')
    for each in (scores, integration):
        each.add_argument('--stages', nargs='+', metavar='STAGE', help='stages such as layer3')
    curve.add_argument('--by', choices=['class', 'image'], help='a row for each of these')
    curve.add_argument(
        '--normalize', action='store_true', help='normalise each block over the images; needs --by'
    )
    integration.add_argument('--trees', type=int, default=100, help='trees of a forest')
    integration.add_argument('--jobs', type=int, default=-1, help='processor cores; -1 for all')
    args = parser.parse_args(argv)
    check_arguments(parser, args)
    if args.what == 'curve' and args.normalize and not args.by:
        parser.error('--normalize needs --by: the mean over all images is then 0 everywhere')
    if args.what == 'integration' and args.trees < 1:
        parser.error(f'--trees must be at least 1, got {args.trees}')
    return args


def choose_value(recorder: Recorder, value: Optional[str], label: str) -> str:
    """The name of what is looked at: the one that was asked for, or the first of ``VALUES``."""
    known = recorder.records
    if value is None:
        value = next((name for name in VALUES if name in known), None)
    if value not in known:
        wanted = 'no attention' if value is None else f'no {value}'
        others = f'; it computes {", ".join(known)}' if known else ''
        raise SystemExit(f'{label} computes {wanted}{others}')
    return value


@torch.no_grad()
def layer_values(subject: Subject, args: Namespace) -> Tuple[LayerValues, Dict[int, str]]:
    """The number of each block for each image, and the names of the classes."""
    loader = build_loader(subject.cfg, args)
    value, parts, labels, blocks = args.value, [], [], []
    for data in batches(subject, args, loader=loader):
        with Recorder(subject.model.backbone, None if value is None else [value]) as recorder:
            subject.model.backbone(data['inputs'])
        value = choose_value(recorder, value, subject.label)
        blocks = list(recorder[value])
        numbers = [record.samples.flatten(1).mean(1) for record in recorder[value].values()]
        parts.append(torch.stack(numbers, dim=1))
        labels += [sample.get('gt_label') for sample in data['data_samples']]
    classes = None
    if labels and all(label is not None and len(label) == 1 for label in labels):
        classes = torch.cat(labels)
    return LayerValues(value, blocks, torch.cat(parts), classes), classes_of(loader)


def rows_of(
    model: LayerValues, by: str, names: Dict[int, str], label: str
) -> Tuple[List[str], Tensor]:
    """The rows of a heat map, and their names."""
    if by == 'image':
        return [str(i + 1) for i in range(len(model.values))], model.values
    try:
        classes, values = model.by_class()
    except ValueError as error:
        raise SystemExit(f'--by class: {label}: {error}') from error
    return [names.get(number, str(number)) for number in classes], values


def draw_curve(args: Namespace) -> Picture:
    """Draw a number per block."""
    models, names = {}, {}
    for subject in read_subjects(args):
        values, names[subject.label] = layer_values(subject, args)
        models[subject.label] = values.normalized() if args.normalize else values
    if args.by is None:
        table = []
        for label, model in models.items():
            deviation, mean = torch.std_mean(model.values, 0, correction=0)
            for row in zip(model.blocks, mean.tolist(), deviation.tolist()):
                table.append((label, model.name, *row, len(model.values)))
        header = ('model', 'value', 'block', 'mean', 'standard deviation', 'images')
        return plot_layer_curves(models), header, table
    rows = {label: rows_of(m, args.by, names[label], label) for label, m in models.items()}
    table = [
        (label, models[label].name, name, block, number)
        for label, (row_names, values) in rows.items()
        for name, numbers in zip(row_names, values.tolist())
        for block, number in zip(models[label].blocks, numbers)
    ]
    figure = plot_layer_rows(models, rows, args.by, args.normalize)
    return figure, ('model', 'value', args.by, 'block', 'number'), table


def record_samples(subject: Subject, args: Namespace, value: Optional[str]) -> Tuple[str, dict]:
    """The recorded vectors of all images: the name of the value, and tensors for each stage."""
    names = None if value is None else [value]
    limit = args.max_images or 2**31
    with Recorder(subject.model.backbone, names, limit) as recorder, torch.no_grad():
        for data in batches(subject, args):
            subject.model.backbone(data['inputs'])
    value = choose_value(recorder, value, subject.label)
    stages = recorder.by_stage(value)
    wanted = args.stages or list(stages)
    if not set(wanted) <= stages.keys():
        raise SystemExit(f'--stages must be some of {", ".join(stages)}, got {" ".join(wanted)}')
    try:
        return value, {stage: [record.samples for record in stages[stage]] for stage in wanted}
    except ValueError as error:
        raise SystemExit(f'{subject.label}: {value} needs images of one size: {error}') from error


def draw_scores(args: Namespace) -> Picture:
    """Draw the attention of blocks to earlier blocks."""
    models: Dict[str, Dict[str, List[Scores]]] = {}
    for subject in read_subjects(args):
        _, stages = record_samples(subject, args, SCORE)
        models[subject.label] = {
            stage: list(map(summarize_scores, blocks)) for stage, blocks in stages.items()
        }
    table = [
        (label, stage, block, attended, mean, scores.largest, scores.effective)
        for label, stages in models.items()
        for stage, blocks in stages.items()
        for block, scores in enumerate(blocks, 1)
        for attended, mean in enumerate(scores.mean.tolist(), 1)
    ]
    header = ('model', 'stage', 'block', 'attended block', 'mean score')
    return plot_scores(models), (*header, 'largest score', 'effective number'), table


def integrations(subject: Subject, args: Namespace) -> Iterator[Tuple[str, Integration]]:
    """Feature integration of each stage that has several blocks."""
    value, stages = record_samples(subject, args, args.value)
    stages = {stage: gates for stage, gates in stages.items() if len(gates) > 1}
    if not stages:
        raise SystemExit(f'{subject.label} has {value} in no stage of several blocks')
    print('forests')
    progress = ProgressBar(sum(len(gates) - 1 for gates in stages.values()))
    for stage, gates in stages.items():
        yield stage, gini_importance(gates, args.trees, args.seed, args.jobs, progress.update)
    print()


def draw_integration(args: Namespace) -> Picture:
    """Draw what the gates of blocks depend on."""
    models = {subject.label: dict(integrations(subject, args)) for subject in read_subjects(args)}
    table = [
        (label, stage, target + 2, source + 1, importance, explained)
        for label, stages in models.items()
        for stage, result in stages.items()
        for target, (row, explained) in enumerate(
            zip(result.importances.tolist(), result.explained.tolist())
        )
        for source, importance in enumerate(row[: target + 1])
    ]
    header = ('model', 'stage', 'target block', 'source block', 'importance', 'explained (R²)')
    return plot_integration(models), header, table


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Draw."""
    args = parse_args(argv)
    draw = dict(curve=draw_curve, scores=draw_scores, integration=draw_integration)[args.what]
    try:
        figure, header, table = draw(args)
    except ImportError as error:
        raise SystemExit(str(error)) from error
    for path in save_figure(figure, args.out, header, table):
        print(path)


if __name__ == '__main__':
    main()
