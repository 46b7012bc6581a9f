"""Curves of a training run, from the scalars that MMEngine writes."""

import json
from collections import defaultdict
from os import PathLike
from typing import Dict, List, Mapping, Sequence, Tuple, Union

from matplotlib.figure import Figure

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
