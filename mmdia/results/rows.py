"""Temporary: the table of rows."""

import csv
from pathlib import Path
from typing import List, NamedTuple

from mmengine.config import Config, DictAction

CONFIGS = Path(__file__).parents[2] / 'configs'


class Row(NamedTuple):
    run: str
    paper: str
    table: str
    network: str
    method: str
    data: str
    metric: str
    printed: str
    spread: str
    params: str
    exact_params: str
    config: str
    options: str
    note: str


def read_rows(path=CONFIGS / 'rows.csv') -> List[Row]:
    with open(path, encoding='utf-8', newline='') as file:
        return [Row(**row) for row in csv.DictReader(file)]


def row_config(row: Row) -> Config:
    cfg = Config.fromfile(CONFIGS / row.config)
    pairs = [option.split('=', 1) for option in row.options.split()]
    cfg.merge_from_dict({key: DictAction._parse_iterable(value) for key, value in pairs})
    return cfg
