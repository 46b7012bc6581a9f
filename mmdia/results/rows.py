"""The table of what the papers train and print, ``configs/rows.csv``."""

import csv
import shlex
from argparse import ArgumentParser
from copy import deepcopy
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import List, Optional, Union

from mmengine.config import Config, DictAction

from mmdia.utils.configs import CONFIGS

TABLE = CONFIGS / 'rows.csv'


@dataclass(frozen=True)
class Row:
    """A figure of a table of a paper, and the run that gives it.

    Args:
        run (str): Name of what is trained, such as
            ``'dia/se-resnet164_b128-180e_cifar100'``: one for each pair of
            ``config`` and ``options``; empty where there is no config.
        paper (str): ``'DIANet'``, ``'LSA'``, ``'DLA'`` or ``'RLA'``, or
            ``'mmdia'`` for comparisons of our own.
        table (str): Its number, or that of a figure.
        network (str): The trunk, or the detector with its trunk.
        method (str): The attention; ``'plain'`` for none.
        data (str): The dataset.
        metric (str): What is printed: ``'accuracy'``, ``'error'``, ``'box_AP'``, ...
        printed (str): The figure, with its digits: ``'nan'`` for a run that
            exploded, empty where there is none.
        spread (str): The standard deviation beside it, or empty.
        params (str): The number of parameters beside it, in millions, or empty.
        exact_params (int, optional): That number by arithmetic.
        config (str): The config file, relative to the folder of configs.
        options (str): What is changed in it, as behind ``--cfg-options``.
        note (str): What else is to be known.
        count (str): How ``params`` are counted; see
            ``tools/analysis_tools/paper_params.py``.
    """

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
    exact_params: Optional[int]
    config: str
    options: str
    note: str
    count: str


COLUMNS = [field.name for field in fields(Row)]


def read_rows(path: Union[str, Path, None] = None) -> List[Row]:
    """Read the table.

    Args:
        path (str | Path, optional): The file. Defaults to that of the package.

    Returns:
        List[Row]: Its rows, in its order.

    Raises:
        ValueError: If the file is not such a table.
    """
    path = TABLE if path is None else Path(path)
    rows = []
    with path.open(newline='', encoding='utf-8') as file:
        reader = csv.reader(file, strict=True)
        try:
            if next(reader, None) != COLUMNS:
                raise ValueError(f'the columns must be {",".join(COLUMNS)}')
            for cells in reader:
                entry = dict(zip(COLUMNS, cells, strict=True))
                exact = entry.pop('exact_params')
                rows.append(Row(**entry, exact_params=int(exact) if exact else None))
        except (ValueError, csv.Error) as error:  # undecodable text is a ValueError
            raise ValueError(f'{path}, line {max(reader.line_num, 1)}: {error}') from error
    return rows


def parse_options(options: str) -> dict:
    """Parse what stands behind ``--cfg-options``.

    Args:
        options (str): Entries ``KEY=VALUE``, quoted as for a shell.

    Returns:
        dict: Values by key, as :meth:`Config.merge_from_dict` takes them.
    """
    parser = ArgumentParser()
    parser.add_argument('options', nargs='*', action=DictAction)
    return parser.parse_args(shlex.split(options)).options or {}


@cache
def read_config(name: str) -> Config:
    """Read a config once, however many rows have it."""
    return Config.fromfile(CONFIGS / name)


def row_config(row: Row) -> Config:
    """The config of a row, with its options.

    Args:
        row (Row): A row that has a config.

    Returns:
        Config: The config, as ``tools/train.py CONFIG --cfg-options OPTIONS`` has it.
    """
    cfg = deepcopy(read_config(row.config))
    cfg.merge_from_dict(parse_options(row.options))
    return cfg
