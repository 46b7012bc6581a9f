"""Train what the papers report, and record what comes out.

Runs that are done are skipped, and those that were interrupted go on.
"""

import os
import shlex
import signal
import time
from argparse import ArgumentParser, Namespace
from fnmatch import fnmatch
from pathlib import Path
from subprocess import Popen
from typing import Dict, List, Tuple

import torch
from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn

from mmdia.cli.outputs import check_folder
from mmdia.results.records import append_record, read_records
from mmdia.results.rows import Row, read_rows
from mmdia.results.runs import OUTPUT, Run, Settings, last_line

POLL = 2.0  # seconds


def parse_args() -> Namespace:
    """Read the command line."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'runs', nargs='*', help="names of runs, with * for anything: 'dia/*cifar10', or '*' for all"
    )
    parser.add_argument('--paper', help='only rows of this paper, such as DIANet')
    parser.add_argument('--table', help='only rows of this table, such as 3')
    parser.add_argument('--list', action='store_true', help='list the rows and train nothing')
    parser.add_argument('--dry-run', action='store_true', help='print the commands alone')
    parser.add_argument('--seeds', type=int, default=1, help='train with seeds 0 to N - 1')
    length = parser.add_mutually_exclusive_group()
    length.add_argument('--epochs', type=int, help='train so long, with a schedule to fit')
    length.add_argument('--scale', type=float, help='train this part of the schedule, such as 0.1')
    parser.add_argument('--jobs', type=int, default=1, help='number of runs at the same time')
    parser.add_argument('--amp', action='store_true', help='compute in automatic mixed precision')
    parser.add_argument(
        '--channels-last', action='store_true', help='keep channels innermost in memory'
    )
    parser.add_argument('--data-root', default='data', help='folder of all data sets')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm'], default='none')
    parser.add_argument('--gpus', type=int, default=1, help='processes of a run, with a launcher')
    parser.add_argument('--partition', default='', help='partition of Slurm')
    parser.add_argument('--work-dir', type=Path, default='work_dirs/reproduce')
    parser.add_argument(
        '--results', type=Path, default='results', help='folder of the records, one file per paper'
    )
    args = parser.parse_args()
    for name in ('seeds', 'epochs', 'scale', 'jobs', 'gpus'):
        value = getattr(args, name)
        if value is not None and value <= 0:
            parser.error(f'--{name} must be positive, got {value}')
    if not (args.runs or args.paper or args.table or args.list):
        parser.error("name the runs, --paper or --table; '*' are all, and --list shows them")
    if args.launcher == 'none' and args.gpus > 1:
        parser.error('--gpus needs --launcher pytorch or slurm')
    if args.launcher == 'slurm' and not args.partition:
        parser.error('--launcher slurm needs --partition')
    return args


def select_rows(args: Namespace) -> List[Row]:
    """The rows that the options name.

    Raises:
        SystemExit: If there are none.
    """
    rows = [
        row
        for row in read_rows()
        if any(fnmatch(row.run, pattern) for pattern in args.runs or ['*'])
        and args.paper in (None, row.paper)
        and args.table in (None, row.table)
    ]
    if not rows:
        raise SystemExit('no row is named so; --list without names lists all')
    return rows


def print_rows(rows: List[Row]) -> None:
    """Print rows as a table."""
    names = ('paper', 'table', 'network', 'method', 'data', 'metric', 'printed', 'run')
    lines = [names, *([getattr(row, name) for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    for line in lines:
        print('  '.join(map(str.ljust, line, widths)).rstrip())


def build_runs(rows: List[Row], args: Namespace) -> List[Run]:
    """The runs that rows need, each once, all of a seed before those of the next."""
    settings = Settings(**{name: getattr(args, name) for name in Settings._fields})
    distinct = {row.run: row for row in rows if row.run}.values()
    return [
        Run(row, seed, settings, args.work_dir) for seed in range(args.seeds) for row in distinct
    ]


def gpus_of(job: int, run: Run) -> List[str]:
    """The GPUs of a job, as CUDA_VISIBLE_DEVICES names them; none where it may use all."""
    visible = os.environ.get('CUDA_VISIBLE_DEVICES')
    number = torch.cuda.device_count()
    names = visible.split(',')[:number] if visible else [str(index) for index in range(number)]
    each = run.settings.gpus
    groups = number // each
    if groups < 2 or run.settings.launcher == 'slurm':
        return []
    first = job % groups * each
    return names[first : first + each]


class Trainer:
    """Trains runs, several at the same time, and records them.

    Args:
        runs (List[Run]): The runs.
        jobs (int): How many at the same time.
        results (Path): Folder of the records.
    """

    def __init__(self, runs: List[Run], jobs: int, results: Path) -> None:
        self.waiting, self.jobs, self.results = list(runs), jobs, results
        self.active: Dict[int, Tuple[Run, Popen]] = {}
        self.failed: List[Run] = []
        columns = ('{task.description}', BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        self.progress = Progress(*columns)
        self.total = self.progress.add_task('all', total=len(runs))
        self.num_done = 0

    def train(self) -> None:
        """Train all runs; where this is stopped, the runs save and stop as well."""
        # So that SIGTERM stops the runs as Ctrl-C does.
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        with self.progress:
            try:
                while self.waiting or self.active:
                    self.start()
                    time.sleep(POLL)
                    self.look()
            finally:
                for _, process in self.active.values():
                    process.terminate()
                for _, process in self.active.values():
                    process.wait()
                signal.signal(signal.SIGTERM, before)

    def start(self) -> None:
        """Start runs for the jobs that have none."""
        for job in range(self.jobs):
            if job not in self.active and self.waiting:
                run = self.waiting.pop(0)
                self.active[job] = run, run.start(gpus_of(job, run))

    def look(self) -> None:
        """Show how far the runs are, and record what has ended."""
        for job, (run, process) in list(self.active.items()):
            if process.poll() is not None:
                del self.active[job]
                self.end(run, process.returncode)
        done = {run: run.done() for run, _ in self.active.values()}
        names = ', '.join(f'{run} {part:.0%}' for run, part in done.items())
        completed = self.num_done + sum(done.values())
        self.progress.update(self.total, completed=completed, description=names)

    def end(self, run: Run, code: int) -> None:
        """Record a run that has ended, or say why it failed."""
        self.num_done += 1
        try:
            if code:
                raise RuntimeError(last_line(run.work_dir / OUTPUT))
            record = run.record()
            append_record(self.results / f'{run.row.paper}.jsonl', record)
            last = ', '.join(f'{name} {value:.4g}' for name, value in record['last'].items())
            line = f'{run}: {last}'
        except Exception as error:  # of which the other runs know nothing
            self.failed.append(run)
            line = f'{run} failed: {error}'
        self.progress.console.print(line, markup=False, highlight=False)


def main() -> None:
    """Train what is not recorded yet."""
    args = parse_args()
    rows = select_rows(args)
    if args.list:
        return print_rows(rows)
    try:
        records = read_records(args.results)
    except ValueError as error:
        raise SystemExit(f'--results: {error}') from error
    runs = [run for run in build_runs(rows, args) if not run.is_recorded(records)]
    if args.dry_run:
        for run in runs:
            print(shlex.join(run.command()))
        return None
    check_folder('--results', args.results)
    trainer = Trainer(runs, args.jobs, args.results)
    try:
        trainer.train()
    except KeyboardInterrupt:
        raise SystemExit('stopped; the same command continues these runs') from None
    if trainer.failed:
        failed = '\n'.join(f'{run}: {run.work_dir / OUTPUT}' for run in trainer.failed)
        raise SystemExit(f'{len(trainer.failed)} of {len(runs)} runs failed:\n{failed}')


if __name__ == '__main__':
    main()
