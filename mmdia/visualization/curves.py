"""Curves of training runs, from the scalars that MMEngine writes."""

from typing import Mapping, Sequence

from matplotlib.figure import Figure

from .style import LINES, add_legend, color, new_figure


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
