"""Curves of a training run, from the scalars that MMEngine writes."""

import json
from collections import defaultdict
from os import PathLike
from typing import Dict, List, Mapping, Sequence, Tuple, Union

from matplotlib.figure import Figure

from .style import LINES, add_legend, color, new_figure

Curve = List[Tuple[int, float]]


def read_scalars(path: Union[str, PathLike]) -> Dict[str, Curve]:
    """Read the scalars of a run.

    Args:
        path (str | PathLike): The file ``<work_dir>/<timestamp>/vis_data/
            scalars.json``, with one JSON object a line.

    Returns:
        Dict[str, Curve]: For each scalar, such as ``'loss'`` and
        ``'coco/bbox_mAP'``, its points (step, value). The step of a training
        scalar is an iteration, that of a validation scalar an epoch or an
        iteration, as the training loop counts.
    """
    curves = defaultdict(list)
    with open(path, encoding='utf-8') as file:
        for line in file:
            scalars = json.loads(line)
            step = scalars.pop('step')
            for name, value in scalars.items():
                curves[name].append((step, value))
    return dict(curves)


def plot_curves(
    runs: Mapping[str, Mapping[str, Curve]], names: Mapping[str, Sequence[str]]
) -> Figure:
    """Draw scalars of runs: a row a run, a panel a scalar.

    Args:
        runs (Mapping[str, Mapping[str, Curve]]): For each run, by the title of
            its row, what :func:`read_scalars` returns.
        names (Mapping[str, Sequence[str]]): For each run, the scalars to draw,
            of equal number. A panel stays empty where a run has no such
            scalar, as a detector has no mAP before its first detection.

    Returns:
        Figure: The figure; ``figure.savefig(path)`` writes it.
    """
    columns = max(len(scalars) for scalars in names.values())
    figure = Figure(figsize=(5 * columns, 3.2 * len(runs)), layout='constrained')
    panels = figure.subplots(len(runs), columns, squeeze=False)
    for row, (title, curves) in zip(panels, runs.items(), strict=True):
        for panel, name in zip(row, names[title], strict=True):
            panel.plot(*zip(*curves.get(name, ()), strict=True), marker='.')
            panel.set(title=title, ylabel=name, xlabel='iteration' if 'loss' in name else 'epoch')
            panel.xaxis.get_major_locator().set_params(integer=True)
            panel.grid(alpha=0.3)
    return figure


def plot_runs(runs: Mapping[str, Mapping], metrics: Sequence[str]) -> Figure:
    """Draw training loss and metrics of runs over one another: a panel each.

    Args:
        runs (Mapping[str, Mapping]): For each run, by its label, how it went;
            see :func:`mmdia.results.records.read_progress`.
        metrics (Sequence[str]): Names of the metrics. A run that has none of
            a name is missing in its panel.

    Returns:
        Figure: The figure.
    """
    figure, panels = new_figure(1, 1 + len(metrics), 4, 3)
    for panel, name in zip(panels[0], ('training loss', *metrics), strict=True):
        for number, (label, run) in enumerate(runs.items()):
            values = run['losses'] if name == 'training loss' else run['metrics'].get(name, ())
            points = [point for point in zip(run['steps'], values) if point[1] is not None]
            style = dict(color=color(number), linewidth=1.6, label=label)
            panel.plot(*zip(*points or [((), ())]), LINES[number % len(LINES)], **style)
        by_epoch = all(run['epoch'] > 0 for run in runs.values())
        panel.set(xlabel='epoch' if by_epoch else 'iteration', ylabel=name)
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.grid(alpha=0.3)
    add_legend(figure, panels[0, 0])
    return figure
