"""Try any number of random networks: ``python -m tests.fuzz --cases 2000 --seed 7``."""

import argparse
import logging
import sys
import time
import traceback
from typing import Optional, Sequence

import torch

from .cases import make_case
from .checks import Failure, check


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Check the cases, print what failed and a summary, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--cases', type=int, default=200, help='how many')
    parser.add_argument('--seed', type=int, default=0, help='of all chance')
    parser.add_argument('--first', type=int, default=0, help='number of the first case')
    args = parser.parse_args(argv)
    start, ran, failed = time.time(), 0, 0
    for number in range(args.first, args.first + args.cases):
        case = make_case(args.seed, number)
        try:
            ran += check(case)
        except Exception as error:
            failed += 1
            print(f'seed {args.seed} case {number}: {error}\n  {case}', flush=True)
            if not isinstance(error, Failure):
                traceback.print_exc()
    refused = args.cases - ran - failed
    print(
        f'seed {args.seed}: {args.cases} cases in {time.time() - start:.0f} s: '
        f'{ran} ran, {refused} were refused clearly, {failed} failed'
    )
    return 1 if failed else 0


if __name__ == '__main__':
    logging.disable(logging.INFO)
    torch.set_num_threads(1)
    sys.exit(main())
