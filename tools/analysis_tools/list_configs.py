"""Write docs/configs.md: every network that the papers train, and how to train it.

Reads configs/rows.csv. With --check, only says whether the page is up to date.
"""

from itertools import groupby
from pathlib import Path
from typing import Dict, Iterable, List

from mmdia.cli.pages import write_or_check
from mmdia.results.rows import Row, read_rows

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs' / 'configs.md'

INTRODUCTION = """# Configs of the papers

<!-- Written by tools/analysis_tools/list_configs.py from configs/rows.csv. -->

[configs/rows.csv](../configs/rows.csv) has a row for every accuracy, error and AP that the four
papers print, with the spread, the number of parameters and the run that gives it. On this page,
they are sorted by run. A run is a config, which the first column links, with options:

```bash
python tools/train.py configs/CONFIG --cfg-options OPTIONS
```

The figures are quoted from the papers; none of these networks has been trained here for its full
schedule. If a paper does not give the recipe, the config follows the same network elsewhere in the
paper, or the released code. For mini-ImageNet, chest X-rays, the crops of STL-10 and the batch of
128 on CIFAR in RLA, there is neither: see the pages of [Layer-wise Shared
Attention](../configs/lsa/README.md#what-the-paper-leaves-open) and
[RLA](../configs/rla/README.md#what-the-paper-leaves-open) for what was chosen.

Numbers in brackets are those of the papers' tables. For detectors, this page shows only the AP of
boxes and masks.

See [datasets](datasets.md) for where to put the data. `python tools/analysis_tools/paper_params.py`
compares the numbers of parameters.
"""

# Title and what the figures are, by the name in the table.
PAPERS = {
    'DIANet': (
        '[DIANet: Dense-and-Implicit Attention Network](https://arxiv.org/abs/1905.10671)',
        'Top-1 accuracy in %; nan is a run that exploded.',
    ),
    'LSA': (
        '[Layer-wise Shared Attention Network on Dynamical System Perspective]'
        '(https://arxiv.org/abs/2210.16101)',
        'Top-1 accuracy in %, for COCO box AP; nan is a run that exploded.',
    ),
    'DLA': (
        '[Strengthening Layer Interaction via Dynamic Layer Attention]'
        '(https://arxiv.org/abs/2406.13392)',
        'Top-1 and top-5 accuracy in %, for COCO box AP and mask AP.',
    ),
    'RLA': (
        '[Recurrent Layer Attention Network](https://openreview.net/forum?id=Bke5aJBKvH)',
        'Top-1 and top-5 error in %, for COCO box AP.',
    ),
}
METRICS = ('accuracy', 'accuracy_top5', 'error', 'error_top5', 'box_AP', 'mask_AP')


def printed(rows: Iterable[Row]) -> str:
    """What the tables of a paper print for a run, each table in brackets."""
    tables: Dict[str, List[str]] = {}
    for row in rows:
        figures = tables.setdefault(row.table, [])
        if row.printed and row.metric in METRICS:
            figures.append(f'{row.printed} ± {row.spread}' if row.spread else row.printed)
    by_figure: Dict[str, List[str]] = {}
    for table, figures in tables.items():
        by_figure.setdefault(' / '.join(figures), []).append(table)
    return ', '.join(
        f'{figures} ({", ".join(tables)})'.lstrip() for figures, tables in by_figure.items()
    )


def section(paper: str, rows: Iterable[Row]) -> List[str]:
    """The lines of one paper: a title and a table."""
    title, figures = PAPERS[paper]
    lines = [f'## {paper}', '', f'{title}. {figures}', '']
    lines += [
        '| Run | Network | Data | Method | Printed | Options |',
        '|---|---|---|---|---|---|',
    ]
    runs: Dict[tuple, List[Row]] = {}
    for row in rows:
        runs.setdefault((row.run, row.network, row.data, row.method), []).append(row)
    for (run, *what), group in runs.items():
        name = f'[{Path(run).name}](../configs/{group[0].config})' if run else 'not here'
        options = f'`{group[0].options}`' if group[0].options else ''
        lines.append(f'| {" | ".join([name, *what, printed(group), options])} |')
    return lines


def page() -> str:
    """The text of the page."""
    lines = [INTRODUCTION]
    printed_rows = (row for row in read_rows(ROOT / 'configs' / 'rows.csv') if row.paper in PAPERS)
    for paper, rows in groupby(printed_rows, key=lambda row: row.paper):
        lines += [*section(paper, rows), '']
    return '\n'.join(lines).rstrip() + '\n'


def main() -> None:
    """Write the page, or check it."""
    write_or_check(PAGE, page(), __doc__.splitlines()[0])


if __name__ == '__main__':
    main()
