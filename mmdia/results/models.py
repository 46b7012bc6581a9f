"""Trained models: what their runs reached, what they cost, and how they compare."""

import warnings
from fnmatch import fnmatch
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence

from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from .comparison import Difference, Sample, collect, compare, name_of
from .complexity import Complexity, measure_complexity
from .differences import config_options
from .records import NoResultError, read_dump, read_records, read_work_dir
from .rows import Row, read_rows, row_config

ALPHA = 0.05  # the significance level of Layer-wise Shared Attention, marked by *
COLUMNS = (
    'model',
    'parameters (M)',
    'FLOPs (G)',
    'time',
    'metric',
    'seeds',
    'difference',
    'p (two samples)',
    'p (paired)',
    'printed',
)


def format_p(p: Optional[float]) -> str:
    """A p-value in a table, marked where it is significant; nothing for None."""
    if p is None:
        return ''
    return ('< 0.001' if p < 0.001 else f'{p:.3f}') + ' *' * (p < ALPHA)


class Model(NamedTuple):
    """A model and what is known of it.

    Args:
        name (str): Its name.
        config (Config): Its config.
        records (List[dict]): The records of its runs.
        sample (Sample): What its runs reached.
        complexity (Complexity, optional): Its size and cost; None where it cannot be built.
        difference (Difference, optional): It beside the baseline.
        printed (str): What the paper prints.
    """

    name: str
    config: Config
    records: List[dict]
    sample: Sample
    complexity: Optional[Complexity]
    difference: Optional[Difference]
    printed: str

    def cells(self) -> List[str]:
        """The cells of a table, in the order of :data:`COLUMNS`."""
        sample, cost, other = self.sample, self.complexity, self.difference
        tests = (None, None) if other is None else (other.two_sample, other.paired)
        return [
            self.name,
            '' if cost is None else f'{cost.parameters / 1e6:.3f}',
            '' if cost is None else f'{cost.flops / 1e9:.3g}',
            '' if other is None or other.time is None else f'{other.time:.2f}',
            str(sample),
            str(len(sample.values)),
            '' if other is None else f'{other.mean:+.2f}',
            *map(format_p, tests),
            self.printed,
        ]


def comparison_table(
    models: Sequence[Model], metric: str, also: Sequence[str] = (), best: bool = False
) -> List[List[str]]:
    """The table of models, its head first, without columns in which nothing stands.

    Args:
        models (Sequence[Model]): The models.
        metric (str): The metric that they are compared by.
        also (Sequence[str]): Further metrics to show. Defaults to none.
        best (bool): See :func:`collect`; for the further metrics.
            Defaults to False.

    Raises:
        ValueError: If no record has one of the further metrics.
    """
    head = [metric if column == 'metric' else column for column in COLUMNS]
    columns = list(zip(head, *(model.cells() for model in models)))
    place = COLUMNS.index('metric') + 1
    for further in reversed(also):
        samples = [collect(model.records, further, best).get(model.name) for model in models]
        if not any(samples):
            raise ValueError(f'no record of the models has the metric {further!r}')
        columns.insert(place, (further, *('' if s is None else str(s) for s in samples)))
    return [list(line) for line in zip(*(column for column in columns if any(column[1:])))]


def keep_apart(work_dirs: Sequence[Path], records: Sequence[dict]) -> None:
    """Name runs after their work dirs where configs of one name differ.

    Those that differ in :data:`~.differences.CIRCUMSTANCES` alone, such as seeds, share the name
    of the first.

    Args:
        work_dirs (Sequence[Path]): The work dirs.
        records (Sequence[dict]): Their records, to be changed.
    """
    kinds = []
    for record in records:
        options = config_options(read_dump(record['config']))
        kinds.append((record['run'], frozenset(options.items())))
    first = dict(zip(reversed(kinds), reversed(work_dirs)))
    runs = [run for run, _ in first]
    paths = [path.resolve() for (run, _), path in first.items() if runs.count(run) > 1]
    names = {path.name for path in paths}.difference(runs)
    for record, kind in zip(records, kinds):
        if runs.count(kind[0]) > 1:
            folder = first[kind]
            record['run'] = folder.resolve().name if len(names) == len(paths) else str(folder)


def read_sources(sources: Sequence[Path]) -> List[dict]:
    """The records of folders of records, files of records, and work dirs.

    Runs in work dirs have the names of their configs; see :func:`keep_apart`. Work dirs without
    a result are left out, with a warning.

    Args:
        sources (Sequence[Path]): Their paths.

    Raises:
        ValueError: If one does not exist or is damaged, or all are without a result.
    """
    records, work_dirs, runs, left_out = [], [], [], []
    for source in sources:
        if not source.exists():
            raise ValueError(f'{source} does not exist')
        if source.is_file() or list(source.glob('*.jsonl')):
            records += read_records(source)
            continue
        try:
            runs.append(read_work_dir(source))
        except NoResultError as error:
            left_out.append(str(error))
            continue
        work_dirs.append(source)
        records.append(runs[-1])
    if left_out and not records:
        raise ValueError('\n'.join(left_out))
    for reason in left_out:
        warnings.warn(f'left out: {reason}', stacklevel=2)
    keep_apart(work_dirs, runs)
    return records


def baseline_of(name: str, rows: Dict[str, Row], given: Optional[str]) -> Optional[str]:
    """The name of the run that one is compared with: what is given, or its plain twin."""
    if given is not None or name not in rows:
        return given
    row = rows[name]
    place = (row.paper, row.network, row.data)
    twins = (each for each in rows.values() if (each.paper, each.network, each.data) == place)
    return next((twin.run for twin in twins if twin.method == 'plain'), None)


def complexity_of(cfg: Config, name: str, image_size: int) -> Optional[Complexity]:
    """Size and cost of a model; None, with a warning, where it cannot be built.

    Args:
        cfg (Config): Its config.
        name (str): Its name.
        image_size (int): Height and width of the image.
    """
    try:
        if cfg.get('custom_imports'):
            import_modules_from_strings(**cfg.custom_imports)
        return measure_complexity(cfg, image_size)
    except Exception as error:  # networks of others fail in every way
        warnings.warn(f'no size and FLOPs of {name}: {error}', stacklevel=2)
        return None


def read_models(
    records: Sequence[dict],
    metric: str,
    runs: str = '*',
    baseline: Optional[str] = None,
    best: bool = False,
    image_size: int = 224,
) -> List[Model]:
    """The models that records are of, beside their baselines.

    Args:
        records (Sequence[dict]): The records.
        metric (str): See :func:`collect`.
        runs (str): A pattern of the names of runs. Defaults to all.
        baseline (str, optional): The run to compare with. Defaults to the plain twin of each.
        best (bool): See :func:`collect`. Defaults to False.
        image_size (int): Height and width of the images that FLOPs are counted for.
            Defaults to 224.

    Raises:
        ValueError: If there are none, or the baseline is none of the runs.
    """
    known = dict.fromkeys(record['run'] for record in records)
    if baseline is not None and baseline not in known:
        raise ValueError(f'--baseline must be one of {", ".join(known)}, got {baseline}')
    table = read_rows()
    rows = {row.run: row for row in reversed(table)}
    printed = {row.run: row.printed for row in reversed(table) if row.metric == metric}
    samples = collect(records, metric, best)
    models = []
    for name, sample in samples.items():
        own = [record for record in records if name_of(record) == name]
        run = own[-1]['run']
        if not fnmatch(run, runs):
            continue
        row, part = rows.get(run), name.removeprefix(run)
        cfg = read_dump(own[-1]['config']) if row is None else row_config(row)
        other = baseline_of(run, rows, baseline)
        difference = None
        if other not in (None, run) and f'{other}{part}' in samples:
            difference = compare(sample, samples[f'{other}{part}'])
        complexity = complexity_of(cfg, name, image_size)
        figure = '' if part else printed.get(run, '')
        models.append(Model(name, cfg, own, sample, complexity, difference, figure))
    if not models:
        own = [record for record in records if fnmatch(record['run'], runs)]
        scalars = ', '.join(sorted({name for record in own for name in record['last']})) or 'none'
        raise ValueError(
            f'no record of --runs {runs!r} has --metric {metric!r}; their scalars: {scalars}'
        )
    return models
