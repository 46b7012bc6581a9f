"""Compare parameter counts with those that the papers print.

Builds the models of the rows of configs/rows.csv that have a count and prints a
line for each. Exits with an error if a figure that can be reproduced is not.

What the column ``count`` says is counted: all parameters, if it is empty;
``with_conv_biases``, as if every convolution had a bias, as in Keras, and
``with_conv_biases_and_statistics``, with running means and variances too;
``trainable``, without the frozen stem and first stage of detectors; ``tenth``,
all, but printed in tens of millions. A row whose figure no model can give has a
``note`` that says why.
"""

from argparse import ArgumentParser, Namespace
from math import floor
from typing import Iterable, Iterator, NamedTuple

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

import mmdia  # noqa: F401  (opens the configs of mmdia and finds its models)
from mmdia.results.rows import Row, read_rows, row_config
from mmdia.utils.configs import is_detection

LINE = '{paper:7} {table:>5} {name:44.44} {data:9} {params:>6} {ours:>11}  {verdict}'


class Result(NamedTuple):
    """A row and what became of it.

    Args:
        row (Row): The row of the table.
        count (int): Our count.
    """

    row: Row
    count: int

    @property
    def verdict(self) -> str:
        """How our count compares with the printed figure."""
        digits = len(self.row.params.partition('.')[2])
        printed = float(self.row.params)
        tenth = self.row.count == 'tenth'
        count = self.count / (1e7 if tenth else 1e6)
        unit = ', in tens of millions' if tenth else ''
        if round(count, digits) == printed:
            return f'reproduced{unit}'
        if floor(count * 10**digits) / 10**digits == printed:
            return f'reproduced{unit}, if truncated'
        return f'differs ({self.row.note or "unexpected"})'

    @property
    def reproduced(self) -> bool:
        """Whether our count gives the printed figure."""
        return self.verdict.startswith('reproduced')


def build(cfg: Config) -> nn.Module:
    """Build the model of a config, without memory for its weights."""
    if is_detection(cfg):
        from mmdet.registry import MODELS
    else:
        from mmpretrain.registry import MODELS
    init_default_scope(cfg.default_scope)
    with torch.device('meta'):
        return MODELS.build(cfg.model)


def count_parameters(model: nn.Module, what: str = '') -> int:
    """Count the parameters of a model.

    Args:
        model (nn.Module): The model; its backbone is called ``backbone``.
        what (str): A value of the column ``count``. What is ``'trainable'`` is
            not in the stem and the first stage, which detectors freeze with all
            that is in them if it was trained before. Defaults to ``''``.

    Returns:
        int: The count.
    """
    frozen = ('backbone.conv1.', 'backbone.bn1.', 'backbone.layer1.') if what == 'trainable' else ()
    count = sum(p.numel() for name, p in model.named_parameters() if not name.startswith(frozen))
    trunk = [m for name, m in model.named_modules() if 'interaction' not in name.split('.')]
    if what.startswith('with_conv_biases'):
        count += sum(m.out_channels for m in trunk if isinstance(m, nn.Conv2d))
    if what.endswith('statistics'):
        count += sum(2 * m.num_features for m in trunk if isinstance(m, nn.BatchNorm2d))
    return count


def check_rows(rows: Iterable[Row]) -> Iterator[Result]:
    """Count the parameters of the model of each row."""
    counts = {}  # a run stands in several tables
    for row in rows:
        key = row.run, row.count
        if key not in counts:
            counts[key] = count_parameters(build(row_config(row)), row.count)
        yield Result(row, counts[key])


def parse_args() -> Namespace:
    """Read the command line."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--paper', help='rows of one paper only: DIANet, LSA, DLA or RLA')
    return parser.parse_args()


def main() -> None:
    """Print the comparison."""
    args = parse_args()
    rows = [row for row in read_rows() if row.exact_params and args.paper in (None, row.paper)]
    if not rows:
        raise SystemExit(f'--paper: there are no counts of {args.paper}')
    titles = dict(paper='paper', table='table', name='network, method', data='data', params='M')
    print(LINE.format(**titles, ours='ours', verdict='verdict'))
    results = []
    for result in check_rows(rows):
        results.append(result)
        row = result.row
        line = LINE.format(
            **vars(row),
            name=f'{row.network}, {row.method}',
            ours=f'{result.count:,}',
            verdict=result.verdict,
        )
        print(line, flush=True)
    differing = [result for result in results if not result.reproduced]
    unexpected = sum(not result.row.note for result in differing)
    if unexpected:
        raise SystemExit(f'{unexpected} figures that can be reproduced are not')
    print(f'{len(differing)} differ for the reason given')
    print(f'reproduced {len(results) - len(differing)} of {len(results)}')


if __name__ == '__main__':
    main()
