"""Compare trained models over seeds: a table with tests, and a plot."""

import csv
import sys
from argparse import Namespace
from fnmatch import fnmatch
from typing import List

from matplotlib.figure import Figure

from mmdia.cli.comparison import comparison_parser, parse_comparison
from mmdia.cli.outputs import user_path
from mmdia.results.models import Model, comparison_table, read_models, read_sources


def parse_args() -> Namespace:
    """Read the command line."""
    parser = comparison_parser(__doc__)
    parser.set_defaults(metric='accuracy')
    parser.add_argument(
        '--also', nargs='+', default=[], metavar='METRIC', help='further metrics to show'
    )
    parser.add_argument('--csv', type=user_path, help='file for the table')
    parser.add_argument('--plot', type=user_path, help='file for a plot: .png, .pdf or .svg')
    args = parse_comparison(parser, ('csv', 'plot'))
    if args.plot and args.plot.suffix not in ('.png', '.pdf', '.svg'):
        parser.error(f'--plot must end in .png, .pdf or .svg, got {args.plot}')
    return args


def print_markdown(lines: List[List[str]]) -> None:
    """Print a table in Markdown."""
    widths = [max(map(len, column)) for column in zip(*lines)]
    for number, line in enumerate(lines):
        print(f'| {" | ".join(map(str.ljust, line, widths))} |')
        if number == 0:
            print(f'|{"|".join("-" * (width + 2) for width in widths)}|')


def plot(models: List[Model], metric: str) -> Figure:
    """Draw the metric against the number of parameters, with standard deviations."""
    figure = Figure(figsize=(6, 4), layout='constrained')
    panel = figure.subplots()
    for model in models:
        if model.complexity is None:
            continue
        parameters = model.complexity.parameters / 1e6
        sample = model.sample
        panel.errorbar(parameters, sample.mean, sample.deviation or 0, fmt='o', capsize=3)
        panel.annotate(
            model.name.rpartition('/')[2].partition('_')[0],
            (parameters, sample.mean),
            xytext=(6, 4),
            textcoords='offset points',
            fontsize='small',
        )
    panel.margins(0.2)
    panel.set(xlabel='parameters (M)', ylabel=metric)
    panel.grid(alpha=0.3)
    return figure


def main() -> None:
    """Compare."""
    args = parse_args()
    try:
        records = read_sources(args.sources)
        models = read_models(
            records, args.metric, args.runs, args.baseline, args.best, args.image_size
        )
        lines = comparison_table(models, args.metric, args.also, args.best)
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from error
    compared = {record['run'] for model in models for record in model.records}
    given = {record['run'] for record in records if fnmatch(record['run'], args.runs)}
    if given - compared:
        names = ', '.join(sorted(given - compared))
        print(f'left out, without {args.metric}: {names}', file=sys.stderr)
    print_markdown(lines)
    if args.csv:
        with args.csv.open('w', newline='', encoding='utf-8') as file:
            csv.writer(file).writerows(lines)
    if args.plot:
        plot(models, args.metric).savefig(args.plot)


if __name__ == '__main__':
    main()
