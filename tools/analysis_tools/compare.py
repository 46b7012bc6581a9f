"""Compare trained models over seeds: a table with tests, and a plot."""

import csv
from argparse import ArgumentParser, Namespace
from fnmatch import fnmatch
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

from matplotlib.figure import Figure
from mmengine.config import Config

from mmdia.results.comparison import METRICS, Difference, Sample, collect, compare, name_of
from mmdia.results.complexity import Complexity, measure_complexity
from mmdia.results.records import read_records, read_work_dir
from mmdia.results.rows import Row, read_rows, row_config

ALPHA = 0.05  # the significance level of Layer-wise Shared Attention, marked by *
COLUMNS = (
    'model',
    'parameters (M)',
    'FLOPs (G)',
    'time',
    'metric',
    'seeds',
    'difference',
    'p (two samples)',
    'p (paired)',
    'printed',
)


def parse_args() -> Namespace:
    """Read the command line."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument(
        'sources',
        nargs='*',
        type=Path,
        default=[Path('results')],
        help='folders of records, files of records, or work dirs of any runs',
    )
    parser.add_argument('--runs', default='*', help="names of runs to compare, such as 'small/*'")
    parser.add_argument(
        '--metric',
        default='accuracy',
        help=f'{", ".join(METRICS)} in percent, or any scalar of the logs',
    )
    parser.add_argument('--baseline', help='the run to compare with; by default the plain twin')
    parser.add_argument(
        '--best', action='store_true', help='take the best epoch in place of the last one'
    )
    parser.add_argument(
        '--image-size', type=int, default=224, help='side of the images that FLOPs are counted for'
    )
    parser.add_argument('--csv', type=Path, help='file for the table')
    parser.add_argument('--plot', type=Path, help='file for a plot: .png, .pdf or .svg')
    args = parser.parse_args()
    if args.image_size < 1:
        parser.error(f'--image-size must be positive, got {args.image_size}')
    if args.plot and args.plot.suffix not in ('.png', '.pdf', '.svg'):
        parser.error(f'--plot must end in .png, .pdf or .svg, got {args.plot}')
    for file in filter(None, (args.csv, args.plot)):
        if not file.parent.is_dir():
            parser.error(f'there is no folder {file.parent}')
    return args


def read_source(source: Path) -> List[dict]:
    """The records of a folder, a file or a work dir."""
    if source.is_file() or list(source.glob('*.jsonl')):
        return read_records(source)
    return [read_work_dir(source)]


class Model(NamedTuple):
    """A model and what is known of it.

    Args:
        name (str): Its name.
        sample (Sample): What its runs reached.
        complexity (Complexity): Its size and cost.
        difference (Difference, optional): It beside the baseline.
        printed (str): What the paper prints.
    """

    name: str
    sample: Sample
    complexity: Complexity
    difference: Optional[Difference]
    printed: str

    def cells(self) -> List[str]:
        """The cells of the table, in the order of :data:`COLUMNS`."""
        sample, (parameters, flops), other = self.sample, self.complexity, self.difference
        spread = '' if sample.deviation is None else f' ± {sample.deviation:.2f}'
        tests = (None, None) if other is None else (other.two_sample, other.paired)
        return [
            self.name,
            f'{parameters / 1e6:.3f}',
            '' if flops is None else f'{flops / 1e9:.3g}',
            '' if other is None else f'{other.time:.2f}',
            f'{sample.mean:.2f}{spread}',
            str(len(sample.values)),
            '' if other is None else f'{other.mean:+.2f}',
            *('' if p is None else f'{p:.3f}' + ' *' * (p < ALPHA) for p in tests),
            self.printed,
        ]


def baseline_of(name: str, rows: Dict[str, Row], given: Optional[str]) -> Optional[str]:
    """The name of the run that one is compared with: what is given, or its plain twin."""
    if given is not None or name not in rows:
        return given
    row = rows[name]
    place = (row.paper, row.network, row.data)
    twins = (each for each in rows.values() if (each.paper, each.network, each.data) == place)
    return next((twin.run for twin in twins if twin.method == 'plain'), None)


def read_models(records: List[dict], args: Namespace) -> List[Model]:
    """The models that records are of, beside their baselines.

    Raises:
        SystemExit: If there are none.
    """
    rows = {row.run: row for row in reversed(read_rows()) if row.metric == args.metric}
    samples = collect(records, args.metric, args.best)
    models = []
    for name, record in {name_of(record): record for record in records}.items():
        run = record['run']
        if name not in samples or not fnmatch(run, args.runs):
            continue
        row, part = rows.get(run), name.removeprefix(run)
        cfg = Config.fromfile(record['config']) if row is None else row_config(row)
        baseline = baseline_of(run, rows, args.baseline)
        difference = None
        if baseline not in (None, run) and f'{baseline}{part}' in samples:
            difference = compare(samples[name], samples[f'{baseline}{part}'])
        complexity = measure_complexity(cfg, args.image_size)
        printed = row.printed if row and not part else ''
        models.append(Model(name, samples[name], complexity, difference, printed))
    if not models:
        raise SystemExit(f'no record of --runs {args.runs!r} has --metric {args.metric!r}')
    return models


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
        records = [record for source in args.sources for record in read_source(source)]
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from error
    models = read_models(records, args)
    lines = [list(COLUMNS), *(model.cells() for model in models)]
    lines[0][4] = args.metric
    print_markdown(lines)
    if args.csv:
        with args.csv.open('w', newline='', encoding='utf-8') as file:
            csv.writer(file).writerows(lines)
    if args.plot:
        plot(models, args.metric).savefig(args.plot)


if __name__ == '__main__':
    main()
