"""Write the tables of docs/choosing.md: what each method costs and what it gains.

The figures are those of other pages and files: parameters and FLOPs of the pages of the methods,
time and memory of docs/speed.md, gains of results/ and configs/rows.csv. With --check, only says
whether the tables are up to date.
"""

import re
from decimal import Decimal
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from mmdia.cli.pages import write_or_check
from mmdia.results.comparison import collect, compare
from mmdia.results.records import read_records
from mmdia.results.rows import Row, read_rows

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs' / 'choosing.md'
TABLE = re.compile(r'(?<=<!-- list_methods\.py: (\w{5}) -->\n)(?:\|.*\n)+')
COSTS = ('Method', 'Interaction', 'Parameters', 'FLOPs', 'Training time', 'Memory')
# Titles of columns, networks and data.
BENCHMARKS = {
    'ImageNet, ResNet-50': (('ResNet50',), 'ImageNet'),
    'COCO, Faster R-CNN R50': (('Faster R-CNN R50',), 'COCO'),
    'CIFAR-100, ResNet-110 or -164': (('ResNet110', 'ResNet164'), 'CIFAR-100'),
}
GAINS = ('Method', *BENCHMARKS, 'CIFAR-100, small ResNet-18')
SMALL = 'small/{}resnet18-w16_b128-20e_cifar100'


class Method(NamedTuple):
    """A method of the table, and where its figures are.

    Args:
        name (str): Its name in configs/rows.csv.
        config (str): Its config, as in the table of costs.
        page (str): The page with that table.
        row (str, optional): The first cell of its row there. Defaults to ``config``.
        column (str): The beginning of the column with the parameters.
        small (str, optional): The prefix of the small network's run.
    """

    name: str
    config: str
    page: str
    row: Optional[str] = None
    column: str = 'Parameters'
    small: Optional[str] = None


def attention(name: str, kind: str, shared: bool, small: Optional[str] = None) -> Method:
    """A method of the page of attentions: one attention per block, or one per stage."""
    interaction = 'mmdia.SharedAttention' if shared else 'mmdia.BlockAttention'
    row = f"dict(type='mmdia.{kind}')"
    config = f"dict(type='{interaction}', attention={row})"
    return Method(name, config, 'attentions', row, f'Parameters, `{interaction}`', small)


METHODS = (
    attention('SE', 'SE', shared=False, small='se-'),
    attention('ECA', 'ECA', shared=False),
    attention('CBAM', 'CBAM', shared=False),
    attention('DIA-SE', 'SE', shared=True, small='dia-se-'),
    Method('DIA-LSTM', "dict(type='mmdia.DIALSTM')", 'recurrent', small='dia-'),
    Method('DIA-LSTM Light', "dict(type='mmdia.DIALSTMLight')", 'recurrent'),
    Method('RLA', "dict(type='mmdia.RLA')", 'rla', small='rla-'),
    Method('Recurrent Layer Aggregation', "dict(type='mmdia.LayerAggregation')", 'rla'),
    Method('MRLA-L', "dict(type='mmdia.MRLALight')", 'layer_attention', small='mrla-l-'),
    Method('MRLA-B', "dict(type='mmdia.MRLABase')", 'layer_attention'),
    Method('DLA-L', "dict(type='mmdia.DLALight')", 'layer_attention', small='dla-l-'),
    Method('DLA-B', "dict(type='mmdia.DLABase')", 'layer_attention', small='dla-b-'),
)


def rows_of(page: str) -> Iterator[Dict[str, str]]:
    """The rows of all tables of a page, by the titles of the columns."""
    text = (ROOT / 'docs' / f'{page}.md').read_text(encoding='utf-8')
    for table in re.findall(r'(?:^\|.*\n)+', text, re.MULTILINE):
        head, _, *rows = ([c.strip() for c in line[1:-1].split('|')] for line in table.splitlines())
        for row in rows:
            yield dict(zip(head, row))


def costs(method: Method) -> List[str]:
    """Parameters and FLOPs, from the page of the method."""
    row = method.row or method.config
    rows = (cells for cells in rows_of(method.page) if 'FLOPs' in cells)
    (found,) = (cells for cells in rows if f'`{row}`' in cells.values())
    return [found[method.column], found['FLOPs']]


def measured(method: Method) -> List[str]:
    """Time of training and memory beside the plain ResNet-50, from the page on speed."""
    for cells in rows_of('speed'):
        if cells.get('Network') == f'{method.name} R50' and 'Peak memory' in cells:
            figures = (cells['Forward and backward'], cells['Peak memory'])
            return [re.findall(r'\d+\.\d+', figure)[-1] for figure in figures]
    return ['', '']


def gain_in_papers(method: Method, networks: Tuple[str], data: str, rows: List[Row]) -> str:
    """What papers print for a method less what they print for the plain network."""
    names = re.compile(rf'{method.name}( [rM]=.*| adaptive)?')
    metrics = ('accuracy', 'error', 'box_AP')
    rows = [row for row in rows if row.network in networks and row.data == data]
    rows = [row for row in rows if row.metric in metrics]
    plain = {place(row): row.printed for row in rows if row.method == 'plain'}
    gains: Dict[str, str] = {}
    for row in rows:
        if row.printed and names.fullmatch(row.method) and place(row) in plain:
            gain = Decimal(row.printed) - Decimal(plain[place(row)])
            gains.setdefault(row.paper, f'{-gain if row.metric == "error" else gain:+}')
    return ', '.join(f'{gain} ({paper})' for paper, gain in gains.items())


def place(row: Row) -> Tuple[str, ...]:
    """What rows have in common whose methods are compared."""
    return row.paper, row.table, row.network, row.data, row.metric


def gain_here(method: Method, records: List[dict]) -> str:
    """The difference to the plain small network that was trained with this package."""
    samples = collect(records, 'accuracy')
    name = None if method.small is None else SMALL.format(method.small)
    if name not in samples:
        return ''
    difference = compare(samples[name], samples[SMALL.format('')])
    return f'{difference.mean:+.2f} ({difference.seeds} seed{"s" * (difference.seeds != 1)})'


def lines(*rows: Sequence[str]) -> str:
    """A table in Markdown, of its header and its rows."""
    header, *others = (f'| {" | ".join(row)} |\n' for row in rows)
    return ''.join([header, '|---' * len(rows[0]) + '|\n', *others])


def table_of_costs() -> str:
    """Size and time of the methods."""
    rows = []
    for method in METHODS:
        kind = re.search(r'mmdia\.\w+', method.config)[0]
        rows.append(
            [method.name, f'[`{kind}`]({method.page}.md)', *costs(method), *measured(method)]
        )
    return lines(COSTS, *rows)


def table_of_gains() -> str:
    """Accuracy of the methods beside that of the plain network."""
    printed, records = read_rows(), read_records(ROOT / 'results')
    rows = []
    for method in METHODS:
        gains = [gain_in_papers(method, *where, printed) for where in BENCHMARKS.values()]
        rows.append([method.name, *gains, gain_here(method, records)])
    return lines(GAINS, *rows)


def page() -> str:
    """The text of the page, with the tables as they should be."""
    tables = dict(costs=table_of_costs, gains=table_of_gains)
    return TABLE.sub(lambda match: tables[match[1]](), PAGE.read_text(encoding='utf-8'))


def main() -> None:
    """Write the page, or check it."""
    write_or_check(PAGE, page(), __doc__.splitlines()[0])


if __name__ == '__main__':
    main()
