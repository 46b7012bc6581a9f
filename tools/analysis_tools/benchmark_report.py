"""What the benchmark prints and writes."""

import csv
from argparse import Namespace
from datetime import datetime
from pathlib import Path
from typing import Dict, List, Optional

import torch
from matplotlib.figure import Figure
from measurement import PASSES, Comparison, Setting

from mmdia.results.records import device_name

TITLES = dict(forward='forward', forward_backward='forward + backward', memory='peak memory')
LINE = '{name:26} {images:>9}  {forward:37} {forward_backward:37} {memory:23} {operators}'
HEADER = LINE.format(name='ratios to plain', images='images', operators='operators', **TITLES)


def describe(args: Namespace) -> str:
    """One line about how all networks are run."""
    threads = f'{args.threads} thread' + 's' * (args.threads > 1)
    parts = [device_name(args.device), threads, args.dtype]
    parts += ['channels last'] * args.channels_last + ['compiled'] * args.compile
    return ', '.join([*parts, f'PyTorch {torch.__version__}', f'{datetime.now():%Y-%m-%d %H:%M}'])


def cell(result: Comparison, goal: Optional[float] = None) -> str:
    """A ratio, its quartiles where it varies, and whether it meets its goal."""
    text = f'{result.ratio:.3f}'
    if result.rounds > 1:
        text += f' [{result.low:.3f} {result.high:.3f}]'
    if goal is not None:
        text += f' goal {goal:.2f} {"met" if result.ratio <= goal else "missed"}'
    return text


def table_line(
    name: str, setting: Setting, results: Dict[str, Comparison], goals: Dict[str, float]
) -> str:
    """The line of a network in the printed table."""
    operators = (f'{results[f"operators_{name}"].ratio:.2f}' for name in PASSES)
    return LINE.format(
        name=name,
        images=f'{setting.batch_size} x {setting.image_size}',
        operators=' / '.join(operators),
        **{measure: cell(results[measure], goals.get(measure)) for measure in TITLES},
    )


def csv_rows(
    name: str, setting: Setting, results: Dict[str, Comparison], **references: Dict[str, float]
) -> List[dict]:
    """The rows of a network in the CSV file, one per measure.

    Args:
        name (str): The network.
        setting (Setting): How it was run.
        results (Dict[str, Comparison]): Its measures.
        **references (Dict[str, float]): Other columns, by measure.
    """
    return [
        dict(
            network=name,
            measure=measure,
            **result._asdict(),
            **{column: values.get(measure) for column, values in references.items()},
            **setting._asdict(),
            device_name=device_name(setting.device),
            torch=torch.__version__,
            date=f'{datetime.now():%Y-%m-%d}',
        )
        for measure, result in results.items()
    ]


def plot(rows: List[dict]) -> Figure:
    """Draw the ratios: a panel per measure, bars to the medians, whiskers to the quartiles."""
    names = list(dict.fromkeys(row['network'] for row in rows))
    figure = Figure(figsize=(12, 1.5 + 0.4 * len(names)), layout='constrained')
    panels = figure.subplots(1, len(TITLES), sharey=True)
    for panel, (measure, title) in zip(panels, TITLES.items()):
        chosen = [row for row in rows if row['measure'] == measure]
        ratios = [row['ratio'] for row in chosen]
        whiskers = [
            [row['ratio'] - row['low'] for row in chosen],
            [row['high'] - row['ratio'] for row in chosen],
        ]
        places = range(len(chosen))
        panel.barh(places, ratios, xerr=whiskers, tick_label=names, color='C0', alpha=0.6)
        for column, marker in (('goal', '|'), ('authors', 'x')):
            values = [float('nan') if row[column] is None else row[column] for row in chosen]
            panel.plot(values, places, marker, color='black', markersize=10, label=column)
        panel.axvline(1, color='gray', linewidth=0.8)
        panel.set(title=title, xlabel='ratio to plain')
    panels[0].invert_yaxis()
    figure.legend(*panels[0].get_legend_handles_labels(), loc='outside lower center', ncols=2)
    return figure


def summary(rows: List[dict], folder: Path) -> str:
    """Last lines: how many goals are met, and the files."""
    met = [row['ratio'] <= row['goal'] for row in rows if row['goal'] is not None]
    goals = [f'{sum(met)} of {len(met)} goals met'] * bool(met)
    return '\n'.join([*goals, *(str(folder / f'benchmark.{kind}') for kind in ('csv', 'png'))])


def save(rows: List[dict], folder: Path) -> None:
    """Write the results of all cases so far as CSV and as a plot."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / 'benchmark.csv', 'w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    plot(rows).savefig(folder / 'benchmark.png')
