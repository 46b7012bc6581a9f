"""Compare the cost of networks with that of the plain network of the same trunk.

Runs both in one process and in turns, A B B A: forward in evaluation mode without gradients, and
forward and backward in training mode. Time on the CPU is that of the process with one thread,
which other processes disturb least, and that of the wall with several; on a GPU it is that of CUDA
events. Peak memory is that of forward and backward, with parameters and buffers. Operators are
those of ATen, before any compiler. Prints the medians of the ratios to plain, with their quartiles,
and writes all figures, in seconds and bytes, and a plot.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

import torch
from benchmark_report import HEADER, csv_rows, describe, save, summary, table_line
from measurement import Pair, Setting, compare, keep_freed_memory
from mmengine.config import Config
from mmengine.fileio import load
from mmengine.hub import get_config
from operator_times import profile_pair

import mmdia  # noqa: F401  (opens the configs of mmdia and finds its models)
from mmdia.cli.command_line import ConfigOptions
from mmdia.cli.outputs import user_path
from mmdia.cli.plain import plain_class
from mmdia.models import ResidualBackbone
from mmdia.registry import MODELS
from mmdia.utils.validation import registered_type

TABLE = Path(__file__).with_suffix('.yml')


class Case(NamedTuple):
    """A network to compare with the plain one.

    Args:
        name (str): Its name.
        backbone (dict): Config of the backbone.
        batch_size (int): Number of images. Defaults to 4.
        image_size (int, optional): Their height and width. Defaults to 224, or
            32 where the stride of the network is less than 16.
        goals (Dict[str, float]): The most that ratios should be, by measure.
        authors (Dict[str, float]): Ratios of the authors' code, by measure.
    """

    name: str
    backbone: dict
    batch_size: int = 4
    image_size: Optional[int] = None
    goals: Dict[str, float] = {}
    authors: Dict[str, float] = {}


def read_case(name: str, cfg: Config, **kwargs) -> Case:
    """The case of a model's backbone, without its weights."""
    backbone = dict((cfg.get('model') or {}).get('backbone') or {})
    if 'type' not in backbone:
        raise SystemExit(f'{name} has no model.backbone with a type')
    if isinstance(backbone['type'], str) and '.' not in backbone['type']:
        backbone['type'] = f'{cfg.get("default_scope", "mmdia")}.{backbone["type"]}'
    backbone.pop('init_cfg', None)
    return Case(name, backbone, **kwargs)


def find_case(name: str) -> Case:
    """The case of a config file, or one of benchmark.yml."""
    if Path(name).is_file():
        return read_case(name, Config.fromfile(name))._replace(name=Path(name).stem)
    table = load(TABLE)
    if name not in table:
        raise SystemExit(f'{name} is neither the file of a config nor one of {", ".join(table)}')
    row = table[name]
    cfg = get_config(f'mmdia::{row.pop("config")}')
    cfg.merge_from_dict(row.pop('cfg_options', {}))
    return read_case(name, cfg, **row)


def find_cases(args: Namespace) -> List[Case]:
    """The cases that the command line asks for; without any, those of benchmark.yml with goals."""
    cases = [find_case(name) for name in args.networks]
    if args.backbone:
        cfg = Config()
        cfg.merge_from_dict({f'model.backbone.{key}': v for key, v in args.backbone.items()})
        cases.append(read_case('--backbone', cfg))
    return cases or [find_case(name) for name, row in load(TABLE).items() if 'goals' in row]


def build_pair(case: Case) -> Pair:
    """Build the network of a case, and the plain one: the same without its interaction."""
    arguments = dict(case.backbone)
    cls = registered_type(MODELS, arguments.pop('type'))
    if not isinstance(cls, type) or not issubclass(cls, ResidualBackbone):
        raise SystemExit(f'{case.name}: {case.backbone["type"]} is not a backbone of mmdia')
    try:
        return cls(**arguments), plain_class(cls)(**arguments)
    except (TypeError, ValueError) as error:
        raise SystemExit(f'{case.name}: {error}') from error


def choose_setting(case: Case, args: Namespace, stride: int) -> Setting:
    """How to run the networks of a case: as it says, unless the command line says otherwise."""
    image_size = args.image_size or case.image_size or (32 if stride < 16 else 224)
    if image_size < stride:
        raise SystemExit(
            f'--image-size must be at least {stride}, the stride of {case.name}, got {image_size}'
        )
    return Setting(
        args.batch_size or case.batch_size,
        image_size,
        args.dtype,
        args.channels_last,
        args.compile,
        args.device,
        args.threads,
    )


def parse_args() -> Namespace:
    """Read the command line."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument(
        'networks',
        nargs='*',
        help='config files of classifiers or detectors, of which the backbone is taken, or cases '
        f'of {TABLE.name}; by default those of these that have goals',
    )
    parser.add_argument(
        '--backbone',
        nargs='+',
        action=ConfigOptions,
        default={},
        metavar='KEY=VALUE',
        help='a network without a config, such as type=mmdia.ResNet depth=18 '
        'interaction.type=mmdia.RLA',
    )
    parser.add_argument('--batch-size', type=int, help="images a pass (default: the case's, or 4)")
    parser.add_argument(
        '--image-size',
        type=int,
        help="height and width (default: the case's, or 224, or 32 for strides below 16)",
    )
    parser.add_argument(
        '--dtype',
        choices=['float32', 'float64', 'float16', 'bfloat16'],
        default='float32',
        help='the last two in automatic mixed precision (default float32)',
    )
    parser.add_argument('--channels-last', action='store_true', help='channels innermost in memory')
    parser.add_argument('--compile', action='store_true', help='compile the networks')
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu', help='(default cpu)')
    parser.add_argument('--threads', type=int, default=1, help='on the CPU (default 1)')
    parser.add_argument(
        '--rounds', type=int, help='how often a pass is timed (default 6, and more as time allows)'
    )
    parser.add_argument(
        '--seconds', type=float, help='time for the rounds of a network (default 60, or --rounds)'
    )
    parser.add_argument(
        '--profile',
        action='store_true',
        help='print by which operators a network takes longer, in place of the comparison',
    )
    parser.add_argument(
        '--out', type=user_path, default=Path('work_dirs', 'benchmark'), help='folder'
    )
    args = parser.parse_args()
    for name in ('batch_size', 'image_size', 'threads', 'rounds'):
        value = getattr(args, name)
        if value is not None and value < 1:
            parser.error(f'--{name.replace("_", "-")} must be at least 1, got {value}')
    if args.device == 'cuda' and not torch.cuda.is_available():
        parser.error('--device must be cpu where PyTorch finds no GPU, got cuda')
    if args.seconds is None:
        args.seconds = 0 if args.rounds else 60
    args.rounds = args.rounds or 6
    return args


def run_case(case: Case, setting: Setting, networks: Pair, args: Namespace) -> List[dict]:
    """Compare the networks of a case and print its line; the rows of the CSV file."""
    results = compare(networks, setting, args.rounds, args.seconds)
    if setting != Setting(case.batch_size, case.image_size):  # for which goals are set
        case = case._replace(goals={}, authors={})
    print(table_line(case.name, setting, results, case.goals), flush=True)
    return csv_rows(case.name, setting, results, goal=case.goals, authors=case.authors)


def main() -> None:
    """Compare, or say where the time goes."""
    args = parse_args()
    torch.set_num_threads(args.threads)
    keep_freed_memory()
    cases = find_cases(args)
    print(describe(args))
    if not args.profile:
        print(HEADER, flush=True)
    rows = []
    for case in cases:
        networks = build_pair(case)
        setting = choose_setting(case, args, networks[0].stride)
        if args.compile:
            torch.compiler.reset()  # it compiles one method for a few networks only
        if args.profile:
            lines = profile_pair(networks, setting, args.rounds)
            print(f'\n{case.name}', *lines, sep='\n', flush=True)
        else:
            rows += run_case(case, setting, networks, args)
            save(rows, args.out)  # all so far: the rest may be interrupted
    if rows:
        print(summary(rows, args.out))


if __name__ == '__main__':
    main()
