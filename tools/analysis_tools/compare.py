"""Compare trained models over seeds: a table with tests, and a plot."""

import csv
from argparse import ArgumentParser, Namespace
from fnmatch import fnmatch
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import torch
from matplotlib.figure import Figure
from mmengine.analysis import get_model_complexity_info
from mmengine.config import Config
from mmengine.fileio import dump  # noqa

from mmdia.results.comparison import METRICS, Difference, Sample, collect, compare
from mmdia.results.records import read_lines, read_records, read_work_dir
from mmdia.results.rows import Row, read_rows, row_config
