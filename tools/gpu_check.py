"""Check a GPU in ten minutes: tests, cost beside plain networks, two epochs of training.

Each part is a command of its own; its output lies beside the table, in a new folder below --out.
What does not end in time is stopped, and the table says so.
"""

import csv
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from datetime import datetime
from pathlib import Path
from typing import Callable, Iterator, NamedTuple

import torch
from mmengine.config import Config

import mmdia  # noqa: F401  (finds the libraries, or says which is missing)
from mmdia.cli.outputs import user_path
from mmdia.results.records import device_name, read_work_dir
from mmdia.results.runs import last_line, move_data

ROOT = Path(__file__).resolve().parents[1]
TESTS = ('tests/test_gpu.py', 'tests/test_engine/test_overrides.py')
NETWORKS = ('dia-r50', 'rla-r50', 'dla-l-r50')
COMPILED = ('dia-r50',)
TRAINED = ('small/resnet18-w16_b128-20e_cifar100', 'small/dia-resnet18-w16_b128-20e_cifar100')
DIGITS = 'demo/dia-resnet18_digits'  # comes with scikit-learn
EPOCHS = 2


class Part(NamedTuple):
    """A part of the check.

    Args:
        title (str): What the table calls it.
        command (list): The command, run in the root folder.
        read (Callable): Reads the result after the command; called with the
            file of its output.
    """

    title: str
    command: list
    read: Callable[[Path], str]


def read_ratios(path: Path) -> str:
    """Ratios and images a second, from the CSV file of the benchmark."""
    with open(path, newline='', encoding='utf-8') as file:
        rows = {row['measure']: row for row in csv.DictReader(file)}
    ratios = [float(rows[name]['ratio']) for name in ('forward', 'forward_backward', 'memory')]
    step = rows['forward_backward']
    speed = int(step['batch_size']) / float(step['value'])
    return '{:.2f} / {:.2f} / {:.2f}; {:,.0f} images/s in training'.format(*ratios, speed)


def read_training(work_dir: Path) -> str:
    """Accuracy and time of a training."""
    record = read_work_dir(work_dir)
    accuracy, seconds = record['last']['accuracy/top1'], record['seconds']
    return f'{accuracy:.1f} % after {EPOCHS} epochs, {seconds:.0f} s with validation'


def tests(args: Namespace) -> Part:
    """The tests that wait for a GPU."""
    command = [sys.executable, '-m', 'pytest', '-q', '-n', '4', *TESTS]
    return Part('tests', command, last_line)


def benchmark(name: str, args: Namespace, compiled: bool) -> Part:
    """The cost of a network beside that of the plain one."""
    title = f'{name}, {"compiled" if compiled else "eager"}'
    out = args.out / title.replace(', ', '-')
    command = [sys.executable, 'tools/analysis_tools/benchmark.py', name, '--device', args.device]
    command += ['--dtype', 'float16' if args.device == 'cuda' else 'bfloat16', '--channels-last']
    command += ['--batch-size', args.batch_size, '--image-size', args.image_size]
    command += ['--seconds', args.seconds, '--out', out, *['--compile'] * compiled]
    return Part(title, command, lambda log: read_ratios(out / 'benchmark.csv'))


def training(name: str, args: Namespace) -> Part:
    """A short training of a classifier, by a config that says where its data lie."""
    work_dir = args.out / Path(name).name
    cfg = Config.fromfile(ROOT / 'configs' / f'{name}.py')
    config = work_dir.with_suffix('.py')
    Config(move_data(cfg.to_dict(), str(args.data_root))).dump(config)
    command = [sys.executable, 'tools/train.py', config, '--work-dir', work_dir]
    command += ['--amp', '--channels-last', '--cfg-options', f'train_cfg.max_epochs={EPOCHS}']
    if name == DIGITS:
        command.append(f'param_scheduler.end={EPOCHS}')
    else:
        command.append(f'param_scheduler.total_steps={EPOCHS}')
    return Part(name, command, lambda log: read_training(work_dir))


def parts(args: Namespace) -> Iterator[Part]:
    """All parts, the most telling ones first."""
    yield tests(args)
    for name in NETWORKS:
        yield benchmark(name, args, compiled=False)
    for name in TRAINED if (args.data_root / 'cifar100').is_dir() else [DIGITS]:
        yield training(name, args)
    for name in COMPILED:
        yield benchmark(name, args, compiled=True)


def run(part: Part, log: Path, seconds: float) -> str:
    """Run a part, and read its result."""
    with open(log, 'w', encoding='utf-8') as file:
        try:
            code = subprocess.run(
                list(map(str, part.command)), cwd=ROOT, stdout=file, stderr=file, timeout=seconds
            ).returncode
        except subprocess.TimeoutExpired:
            return 'FAILED: did not end in time'
    if code:
        return f'FAILED: {last_line(log)} ({log})'
    return part.read(log)


def parse_args() -> Namespace:
    """Read the command line."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument('--minutes', type=float, default=10, help='for all parts (default 10)')
    parser.add_argument('--seconds', type=float, default=20, help='a benchmark (default 20)')
    parser.add_argument('--batch-size', type=int, default=64, help='of benchmarks (default 64)')
    parser.add_argument('--image-size', type=int, default=224, help='of benchmarks (default 224)')
    parser.add_argument(
        '--data-root',
        type=user_path,
        default='data',
        help='where cifar100 lies; without it, handwritten digits are trained (default data)',
    )
    parser.add_argument(
        '--device', choices=['cuda', 'cpu'], default='cuda', help='cpu tries out this script'
    )
    parser.add_argument('--out', type=user_path, default='work_dirs/gpu_check', help='folder')
    args = parser.parse_args()
    if args.device == 'cuda' and not torch.cuda.is_available():
        parser.error('PyTorch finds no GPU')
    for name in ('minutes', 'seconds', 'batch_size', 'image_size'):
        if getattr(args, name) <= 0:
            flag = name.replace('_', '-')
            parser.error(f'--{flag} must be positive, got {getattr(args, name)}')
    args.out = args.out.resolve() / f'{datetime.now():%Y%m%d_%H%M%S}'
    args.data_root = args.data_root.resolve()
    return args


def main() -> None:
    """Run all parts; print and write the table."""
    args = parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + 60 * args.minutes
    lines = [
        f'{device_name(args.device)}, PyTorch {torch.__version__}, '
        f'{args.batch_size} x {args.image_size}² images, mixed precision, channels last. '
        'Ratios to the plain network: forward / forward and backward / peak memory.',
        '',
        '| Check | Result | Seconds |',
        '|---|---|---|',
    ]
    print(*lines, sep='\n', flush=True)
    for number, part in enumerate(parts(args)):
        start = time.monotonic()
        result = run(part, args.out / f'{number}.log', max(deadline - start, 0))
        lines.append(f'| {part.title} | {result} | {time.monotonic() - start:.0f} |')
        print(lines[-1], flush=True)
    table = args.out / 'table.md'
    table.write_text('\n'.join([*lines, '']), encoding='utf-8')
    print(f'\n{table}')
    if any('FAILED' in line for line in lines):
        raise SystemExit('not all parts passed')


if __name__ == '__main__':
    main()
