"""Options of the tools that compare trained models."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Sequence

from mmdia.results.comparison import METRICS

from .outputs import check_file


def comparison_parser(description: str) -> ArgumentParser:
    """A parser of what to compare.

    Args:
        description (str): What the tool does.
    """
    parser = ArgumentParser(description=description)
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
        help=f'{", ".join(METRICS)} in percent, or any scalar of the logs (coco/... in percent)',
    )
    parser.add_argument('--baseline', help='the run to compare with; by default the plain twin')
    parser.add_argument(
        '--best',
        action='store_true',
        help='take the largest value of all epochs in place of that of the last one',
    )
    parser.add_argument(
        '--image-size', type=int, default=224, help='side of the images that FLOPs are counted for'
    )
    return parser


def parse_comparison(parser: ArgumentParser, files: Sequence[str]) -> Namespace:
    """Read the command line.

    Args:
        parser (ArgumentParser): What :func:`comparison_parser` returned, completed.
        files (Sequence[str]): The options that name files to write.
    """
    args = parser.parse_args()
    if args.image_size < 1:
        parser.error(f'--image-size must be positive, got {args.image_size}')
    for name in files:
        if getattr(args, name):
            check_file(f'--{name}', getattr(args, name))
    return args
