"""Write docs/configs.md: every network that the papers train, and its config.

Reads configs/paper_results.yml. With --check, only says whether the page is up
to date.
"""

from argparse import ArgumentParser
from itertools import groupby
from pathlib import Path
from typing import Iterable, List

from mmengine.fileio import load

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / 'configs' / 'paper_results.yml'
PAGE = ROOT / 'docs' / 'configs.md'

INTRODUCTION = """# Configs of the papers

<!-- Written by tools/analysis_tools/list_configs.py from configs/paper_results.yml. -->

Every network that the four papers train has a config, but for the few that are named with
their papers; `python tools/train.py configs/CONFIG` trains it. What the papers print is
quoted; none of these networks has been trained here to its end. Where a paper is silent on
the recipe, the config takes that of the same network elsewhere in the paper, or of its
released code.
Where the datasets have to lie: [datasets](datasets.md). How many parameters the papers
print: `python tools/analysis_tools/paper_params.py`.
"""

# Short name, title and what the figures are, in the order of the page.
PAPERS = {
    'DIANet': (
        '[DIANet: Dense-and-Implicit Attention Network](https://arxiv.org/abs/1905.10671)',
        'Top-1 accuracy in %; nan is a run that exploded.',
    ),
    'LSA': (
        '[Layer-wise Shared Attention Network on Dynamical System Perspective]'
        '(https://arxiv.org/abs/2210.16101)',
        'Top-1 accuracy in %, for COCO box AP; nan is a run that exploded. Not here: DIA-SRM with '
        'norms that blocks share (Fig. 11), which collapses.',
    ),
    'DLA': (
        '[Strengthening Layer Interaction via Dynamic Layer Attention]'
        '(https://arxiv.org/abs/2406.13392)',
        'Top-1 accuracy in %, for COCO box AP and mask AP.',
    ),
    'RLA': (
        '[Recurrent Layer Attention Network](https://openreview.net/forum?id=Bke5aJBKvH)',
        'Top-1 error in %. Not here: Faster R-CNN with a C4 head on COCO 2014, whose last stage '
        'runs once for each proposal: the paper does not say what the LSTM then reads.',
    ),
}


def section(paper: str, rows: Iterable[dict]) -> List[str]:
    """The lines of one paper: a title and a table."""
    title, figures = PAPERS[paper]
    lines = [f'## {paper}', '', f'{title}. {figures}', '']
    lines += ['| Network | Data | Method | Printed | Table | Config |', '|---|---|---|---|---|---|']
    for row in rows:
        name = Path(row['config']).stem
        lines.append(
            '| {network} | {data} | {method} | {printed} | {table} '.format(**row)
            + f'| [{name}](../configs/{row["config"]}) |'
        )
    return lines


def page() -> str:
    """The text of the page."""
    lines = [INTRODUCTION]
    for paper, rows in groupby(load(TABLE), key=lambda row: row['paper']):
        lines += [*section(paper, rows), '']
    return '\n'.join(lines).rstrip() + '\n'


def main() -> None:
    """Write the page, or check it."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--check', action='store_true', help='do not write, fail if it is outdated')
    text = page()
    if not parser.parse_args().check:
        PAGE.write_text(text, encoding='utf-8')
    elif PAGE.read_text(encoding='utf-8') != text:
        raise SystemExit(f'{PAGE.relative_to(ROOT)} is outdated: run this tool without --check')


if __name__ == '__main__':
    main()
