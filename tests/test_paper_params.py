"""The papers' parameter counts, by the tool that reports them."""

import runpy
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[1] / 'tools' / 'analysis_tools' / 'paper_params.py'
paper_params = runpy.run_path(str(TOOL))
ROWS = paper_params['load'](paper_params['TABLE'])


def name(row):
    return f'{row["paper"]}-{row["table"]}-{row["row"]}'


@pytest.mark.parametrize('row', ROWS, ids=name)
def test_row(row):
    (result,) = paper_params['check_rows']([row])
    assert result.count == row['exact']
    assert result.reproduced == ('reason' not in row)


def test_table_is_complete():
    # 257 rows, of which 12 fit no reading
    assert len(ROWS) == 257
    assert sum('reason' in row for row in ROWS) == 12


@pytest.mark.parametrize(
    ('printed', 'count', 'verdict'),
    (
        ('1.95', 1_946_132, 'reproduced'),
        ('25.55', 25_557_032, 'reproduced, if truncated'),
        ('27.2', 28_581_812, 'differs (why)'),
    ),
)
def test_verdict(printed, count, verdict):
    row = dict(printed=printed, reason='why')
    assert paper_params['Result'](row, count).verdict == verdict
