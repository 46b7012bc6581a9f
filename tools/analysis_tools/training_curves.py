"""Draw training loss and metrics of several runs, from their work dirs."""

import warnings
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Optional, Sequence

from mmdia.cli.analysis import add_out_argument, check_arguments, check_labels
from mmdia.results.records import read_progress
from mmdia.visualization import plot_runs
from mmdia.visualization.style import save_figure


def parse_args(argv: Optional[Sequence[str]] = None) -> Namespace:
    """Read the command line."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument('work_dirs', nargs='+', type=Path, help='work dirs of any MMEngine runs')
    parser.add_argument('--labels', nargs='+', help='what to call the runs in the picture')
    parser.add_argument(
        '--metrics', nargs='+', help='metrics such as accuracy/top1; by default all of the runs'
    )
    add_out_argument(parser, 'training_curves.png')
    args = parser.parse_args(argv)
    if args.labels is None:
        names = [Path(folder).resolve().name for folder in args.work_dirs]
        args.labels = names if len(set(names)) == len(names) else list(map(str, args.work_dirs))
    check_labels(parser, args.labels, len(args.work_dirs))
    check_arguments(parser, args)
    return args


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Draw."""
    args = parse_args(argv)
    runs, left_out = {}, []
    for label, folder in zip(args.labels, args.work_dirs):
        if not folder.exists():
            raise SystemExit(f'{folder} does not exist')
        try:
            progress = read_progress(folder)
        except (OSError, ValueError) as error:
            raise SystemExit(str(error)) from error
        if progress['steps']:
            runs[label] = progress
        else:
            left_out.append(f'{folder} has no validation in its logs')
    if not runs:
        raise SystemExit('\n'.join(left_out))
    for reason in left_out:
        warnings.warn(f'left out: {reason}', stacklevel=1)
    known = list(dict.fromkeys(name for run in runs.values() for name in run['metrics']))
    metrics = args.metrics or known
    if not set(metrics) <= set(known):
        raise SystemExit(f'--metrics must be some of {", ".join(known)}, got {" ".join(metrics)}')
    table = [
        (label, name, step, value)
        for label, run in runs.items()
        for name, values in (('training loss', run['losses']), *run['metrics'].items())
        if name in ('training loss', *metrics)
        for step, value in zip(run['steps'], values)
        if value is not None
    ]
    header = ('run', 'scalar', 'step', 'value')
    for path in save_figure(plot_runs(runs, metrics), args.out, header, table):
        print(path)


if __name__ == '__main__':
    main()
