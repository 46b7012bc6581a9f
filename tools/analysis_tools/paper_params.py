"""Compare parameter counts with those that the papers print.

Builds the models of the rows of paper_params.yml and prints a line for each.
Exits with an error if a figure that can be reproduced is not.
"""

from argparse import ArgumentParser, Namespace
from math import floor
from pathlib import Path
from typing import Iterable, Iterator, NamedTuple

import torch
from mmengine.fileio import load
from mmengine.hub import get_config
from mmengine.registry import init_default_scope
from torch import nn

import mmdia  # noqa: F401  (opens the configs of mmdia and finds its models)
from mmdia.registry import MODELS

TABLE = Path(__file__).with_suffix('.yml')
DETECTORS = {
    'faster-rcnn': 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
    'mask-rcnn': 'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
}
CLASSES = 1000
LINE = '{paper:7} {table:>5} {row:44.44} {data:9} {printed:>6} {ours:>11}  {verdict}'


class Result(NamedTuple):
    """A row and what became of it.

    Args:
        row (dict): The row of the table.
        count (int): Our count.
    """

    row: dict
    count: int

    @property
    def verdict(self) -> str:
        """How our count compares with the printed figure."""
        digits = len(self.row['printed'].partition('.')[2])
        printed = float(self.row['printed'])
        millions = self.count / 1e6
        if round(millions, digits) == printed:
            return 'reproduced'
        if floor(millions * 10**digits) / 10**digits == printed:
            return 'reproduced, if truncated'
        return f'differs ({self.row.get("reason", "unexpected")})'

    @property
    def reproduced(self) -> bool:
        """Whether our count gives the printed figure."""
        return self.verdict.startswith('reproduced')


def build(row: dict) -> nn.Module:
    """Build the model of a row, without memory for its weights."""
    if 'config' in row:
        from mmpretrain.registry import MODELS as MMPRETRAIN_MODELS

        init_default_scope('mmpretrain')
        cfg = get_config(f'mmdia::{row["config"]}')
        cfg.merge_from_dict(row.get('cfg_options', {}))
        with torch.device('meta'):
            return MMPRETRAIN_MODELS.build(cfg.model)
    if 'detector' in row:
        from mmdet.registry import MODELS as MMDET_MODELS

        init_default_scope('mmdet')
        cfg = get_config(DETECTORS[row['detector']]).model
        cfg.backbone.update(row['backbone'])
        with torch.device('meta'):
            return MMDET_MODELS.build(cfg)
    with torch.device('meta'):
        backbone = MODELS.build(dict(row['backbone']))
        head = nn.Linear(row.get('head_channels', backbone.stage_channels[-1]), CLASSES)
    return nn.ModuleDict(dict(backbone=backbone, head=head))


def count_parameters(model: nn.Module, what: str = 'all') -> int:
    """Count the parameters of a model.

    Args:
        model (nn.Module): The model; its backbone is called ``backbone``.
        what (str): ``'all'``; ``'with_conv_biases'``, as if every convolution
            of the trunk had a bias; ``'with_conv_biases_and_statistics'``,
            with the running means and variances of norms too; or
            ``'trainable'``, without the stem and the first stage, which
            detectors freeze with all that is in them if it was trained before.
            Defaults to ``'all'``.

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


def check_rows(rows: Iterable[dict]) -> Iterator[Result]:
    """Count the parameters of the model of each row."""
    for row in rows:
        yield Result(row, count_parameters(build(row), row.get('count', 'all')))


def parse_args() -> Namespace:
    """Read the command line."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--paper', help='rows of one paper only: DIANet, LSA, DLA or RLA')
    return parser.parse_args()


def main() -> None:
    """Print the comparison."""
    args = parse_args()
    rows = [row for row in load(TABLE) if args.paper in (None, row['paper'])]
    if not rows:
        raise SystemExit(f'--paper: there are no rows of {args.paper}')
    titles = dict(paper='paper', table='table', row='row', data='data', printed='M')
    print(LINE.format(**titles, ours='ours', verdict='verdict'))
    results = []
    for result in check_rows(rows):
        results.append(result)
        print(
            LINE.format(**result.row, ours=f'{result.count:,}', verdict=result.verdict), flush=True
        )
    differing = [result for result in results if not result.reproduced]
    unexpected = sum('reason' not in result.row for result in differing)
    if unexpected:
        raise SystemExit(f'{unexpected} figures that can be reproduced are not')
    print(f'{len(differing)} differ for the reason given')
    print(f'reproduced {len(results) - len(differing)} of {len(results)}')


if __name__ == '__main__':
    main()
