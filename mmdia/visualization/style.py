"""How pictures look: colours that all readers can tell apart, and files for papers."""

import csv
from importlib import import_module
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import Any, Iterable, List, Mapping, Sequence, Tuple, Union

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's palette, "Color Universal Design".
COLORS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#000000')
# Monotonous in lightness, so that they survive a printer and colour blindness.
SEQUENTIAL, DIVERGING = 'cividis', 'PuOr'
LINES = ('-', '--', '-.', ':')
SUFFIXES = ('.png', '.pdf', '.svg')


def color(number: int) -> str:
    """The colour of the n-th of several things that share a panel."""
    return COLORS[number % len(COLORS)]


def new_figure(rows: int, columns: int, width: float, height: float) -> tuple:
    """An empty figure of panels.

    Args:
        rows (int): Number of rows.
        columns (int): Number of columns.
        width (float): Width of a panel in inches.
        height (float): Its height.

    Returns:
        tuple: The figure, and its panels as an array (rows, columns).
    """
    figure = Figure(figsize=(width * columns, height * rows), layout='constrained')
    with rc_context({'axes.titlesize': 'medium'}):
        return figure, figure.subplots(rows, columns, squeeze=False)


def panels_of_stages(
    models: Mapping[str, Mapping[str, Any]], width: float, height: float
) -> Tuple[Figure, List[Tuple[Axes, str, Any]]]:
    """A figure with a panel for each stage of each model.

    Args:
        models (Mapping[str, Mapping[str, Any]]): For each model, by its label,
            what is to be drawn of each stage.
        width (float): Width of a panel in inches.
        height (float): Its height.

    Returns:
        Tuple[Figure, List[Tuple[Axes, str, Any]]]: The figure, and for each
        panel its axes, its title, and what is to be drawn. There is a row a
        model; models of one stage are side by side.
    """
    columns = max(map(len, models.values()))
    rows = 1 if columns == 1 else len(models)
    figure, panels = new_figure(rows, len(models) if rows == 1 else columns, width, height)
    used = []
    for panel, (label, stages) in zip(panels.T if columns == 1 else panels, models.items()):
        for axes in panel[len(stages) :]:
            axes.set_axis_off()
        used += [
            (axes, f'{label}\n{name}', part) for axes, (name, part) in zip(panel, stages.items())
        ]
    return figure, used


def add_legend(figure: Figure, panel: Axes) -> None:
    """Name what is in all panels below them, by the entries of one panel."""
    entries = panel.get_legend_handles_labels()
    figure.legend(*entries, loc='outside lower center', ncols=len(entries[1]), fontsize='small')


def save_figure(
    figure: Figure, path: Union[str, PathLike], header: Sequence[str], rows: Iterable[Sequence[Any]]
) -> List[Path]:
    """Write a picture, and beside it the numbers that it shows.

    Args:
        figure (Figure): The picture.
        path (str | PathLike): Its file: ``.png``, ``.pdf`` or ``.svg``. The
            numbers go to the file of the same name that ends in ``.csv``.
        header (Sequence[str]): Names of the columns.
        rows (Iterable[Sequence]): The numbers.

    Returns:
        List[Path]: Both files.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Text stays text, and files do not tell when they were made.
    with rc_context({'svg.fonttype': 'none', 'pdf.fonttype': 42, 'svg.hashsalt': 'mmdia'}):
        dates = {'.svg': dict(Date=None), '.pdf': dict(CreationDate=None)}
        figure.savefig(path, dpi=150, metadata=dates.get(path.suffix))
    table = path.with_suffix('.csv')
    with table.open('w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([shorten(cell) for cell in row] for row in rows)
    return [path, table]


def shorten(cell: Any) -> Any:
    """A number with as many digits as anyone reads; anything else as it is."""
    return f'{cell:.6g}' if isinstance(cell, float) else cell


def import_extra(module: str, package: str) -> ModuleType:
    """Import a module of the extra ``analysis``.

    Args:
        module (str): The module.
        package (str): The package that has it.

    Raises:
        ImportError: If it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f'this analysis needs {package}, of the extra "analysis": pip install {package}'
        ) from error
