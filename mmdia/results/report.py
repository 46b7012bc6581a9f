"""One page on several runs: what differs, how they trained, what they reached."""

import base64
import io
import re
from pathlib import Path
from typing import Dict, List, Sequence

import jinja2
import matplotlib
from matplotlib.figure import Figure

from mmdia.visualization.style import color

from .comparison import METRICS, find_metric
from .differences import config_differences
from .models import Model, comparison_table

TEMPLATE = Path(__file__).with_name('report.html')
MIME = {'.png': 'image/png', '.jpg': 'image/jpeg', '.svg': 'image/svg+xml'}


def main_metrics(records: Sequence[dict]) -> List[str]:
    """The metrics that describe runs of any kind.

    Args:
        records (Sequence[dict]): Their records.

    Returns:
        List[str]: Accuracy, box AP and mask AP, those that a record has; of
        records that have none of them, the first scalar of each.
    """
    found: List[str] = []
    for record in records:
        known = [
            metric
            for metric in ('accuracy', 'box_AP', 'mask_AP')
            if METRICS[metric][0] in record['last']
        ]
        found += known or list(record['last'])[:1]
    return list(dict.fromkeys(found))


def curves(models: Sequence[Model], metric: str) -> Dict[str, Figure]:
    """The training of models: the loss, and a metric after each validation.

    Args:
        models (Sequence[Model]): The models; one colour each, a line per run.
        metric (str): See :func:`~.comparison.collect`.

    Returns:
        Dict[str, Figure]: The figures, by what they show.
    """
    scalar, figure_of = find_metric(metric)
    figures = {}
    for title in ('training loss', metric):
        figure = Figure(figsize=(5, 3.2), layout='constrained')
        panel = figure.subplots()
        for place, model in enumerate(models):
            for number, record in enumerate(model.records):
                values = record['losses'] if title != metric else record['metrics'].get(scalar, [])
                points = [(s, v) for s, v in zip(record['steps'], values) if v is not None]
                steps = [step for step, _ in points]
                drawn = [v if title != metric else figure_of(v) for _, v in points]
                label = model.name if number == 0 else None
                panel.plot(steps, drawn, label=label, color=color(place), marker='.', linewidth=1)
        by_epoch = 'max_epochs' in models[0].config.get('train_cfg', {})
        panel.set(xlabel='epoch' if by_epoch else 'iteration', ylabel=title)
        panel.locator_params(axis='x', integer=True)
        panel.grid(alpha=0.3)
        figure.legend(loc='outside lower center', fontsize='small', frameon=False)
        figures[title] = figure
    return figures


def inline_svg(figure: Figure) -> str:
    """A figure as a part of a page, which gives the colour of its text and axes."""
    file = io.StringIO()
    with matplotlib.rc_context({'svg.fonttype': 'none'}):
        figure.savefig(file, format='svg', transparent=True)
    svg = re.sub(r'.*?(?=<svg)', '', file.getvalue(), count=1, flags=re.DOTALL)
    svg = re.sub(r'<metadata>.*?</metadata>', '', svg, flags=re.DOTALL)
    return svg.replace('#000000', 'currentColor')


def embed(picture: Path) -> str:
    """A picture as an address that holds the picture itself.

    Raises:
        ValueError: If it is of another kind than :data:`MIME`.
    """
    if picture.suffix not in MIME:
        raise ValueError(f'{picture} must end in {", ".join(MIME)}')
    content = base64.b64encode(picture.read_bytes()).decode()
    return f'data:{MIME[picture.suffix]};base64,{content}'


def merge_circumstances(records: Sequence[dict]) -> Dict[str, str]:
    """On what the runs were made, as far as their records say."""
    found: Dict[str, Dict[str, None]] = {}
    for record in records:
        lines = {key: record[key] for key in ('date', 'hardware', 'revision') if record.get(key)}
        for key, value in {**lines, **record.get('versions', {})}.items():
            found.setdefault(key, {})[str(value)] = None
    return {key: ', '.join(values) for key, values in found.items()}


def render(
    models: Dict[str, List[Model]], pictures: Sequence[Path] = (), title: str = 'Runs'
) -> str:
    """Write the page: one HTML file that needs no other.

    Args:
        models (Dict[str, List[Model]]): The models, by the metric that they
            are compared by.
        pictures (Sequence[Path]): Further pictures to show. Defaults to none.
        title (str): The title. Defaults to ``'Runs'``.

    Returns:
        str: The HTML.

    Raises:
        ValueError: If a picture is of a kind that browsers do not show.
    """
    every = list({model.name: model for group in models.values() for model in group}.values())
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(TEMPLATE.read_text(encoding='utf-8')).render(
        title=title,
        comparisons=[
            dict(
                metric=metric,
                table=comparison_table(group, metric),
                curves=[inline_svg(figure) for figure in curves(group, metric).values()],
                names=[model.name for model in group],
                differences=config_differences([model.config for model in group]),
            )
            for metric, group in models.items()
        ],
        pictures=[dict(name=picture.stem, address=embed(picture)) for picture in pictures],
        circumstances=merge_circumstances([record for model in every for record in model.records]),
    )
