"""Comparison of trained models over seeds."""

import statistics
import warnings
from collections import defaultdict
from operator import truediv
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from scipy.stats import ttest_ind, ttest_rel


def percent(value: float) -> float:
    """A fraction in percent."""
    return 100 * value


def error(accuracy: float) -> float:
    """The error in percent."""
    return 100 - accuracy


# The scalar of each metric of the table of rows, and what makes of it the figure that papers print.
METRICS: Dict[str, Tuple[str, Callable[[float], float]]] = {
    'accuracy': ('accuracy/top1', float),
    'accuracy_top5': ('accuracy/top5', float),
    'error': ('accuracy/top1', error),
    'error_top5': ('accuracy/top5', error),
}
for kind, name in (('box', 'bbox'), ('mask', 'segm')):
    for part in ('', '50', '75', '_S', '_M', '_L'):
        scalar = f'coco/{name}_mAP_{part.strip("_").lower()}'.rstrip('_')
        METRICS[f'{kind}_AP{part}'] = (scalar, percent)


def find_metric(metric: str) -> Tuple[str, Callable[[float], float]]:
    """The scalar of a metric, and what makes of it the figure that tables show.

    Args:
        metric (str): One of :data:`METRICS`, or the name of a scalar. Those of
            COCO, such as ``coco/cat_precision``, are shown in percent.
    """
    return METRICS.get(metric, (metric, percent if metric.startswith('coco/') else float))


class Sample(NamedTuple):
    """What the runs of one model reached, by their seeds.

    Args:
        values (Dict[int, float]): The metric.
        seconds (Dict[int, float]): The time; 0 where it is not known.
    """

    values: Dict[int, float]
    seconds: Dict[int, float]

    @property
    def mean(self) -> float:
        """The mean over the seeds."""
        return statistics.fmean(self.values.values())

    @property
    def deviation(self) -> Optional[float]:
        """The standard deviation over the seeds, or None for a single one."""
        return statistics.stdev(self.values.values()) if len(self.values) > 1 else None

    def __str__(self) -> str:
        spread = '' if self.deviation is None else f' ± {self.deviation:.2f}'
        return f'{self.mean:.2f}{spread}'


class Difference(NamedTuple):
    """A model beside another one.

    Args:
        mean (float): The mean difference over the seeds that both have, or
            that of the means where they have none in common.
        seeds (int): The number of common seeds.
        two_sample (float, optional): The p-value of Student's t-test of two
            samples, as in Layer-wise Shared Attention; None for fewer than two
            seeds.
        paired (float, optional): The p-value of the test that compares runs of
            the same seed.
        time (float, optional): The ratio of the times, the median; None where one
            is not known.
    """

    mean: float
    seeds: int
    two_sample: Optional[float]
    paired: Optional[float]
    time: Optional[float]


def name_of(record: dict) -> str:
    """What tables call the model of a record: its run, with the length of a shortened schedule."""
    length, full = record.get('length'), record.get('full_length')
    return record['run'] if length == full else f'{record["run"]}, {length} of {full} epochs'


def collect(records: Sequence[dict], metric: str, best: bool = False) -> Dict[str, Sample]:
    """Collect the values of a metric by models.

    Args:
        records (Sequence[dict]): Records; the last one of a model and a seed counts.
        metric (str): See :func:`find_metric`.
        best (bool): Whether the best epoch counts, which is chosen on the data it is
            measured on, or the last one. Defaults to False.

    Returns:
        Dict[str, Sample]: The samples by :func:`name_of`; records without the metric are
        left out.
    """
    name, figure = find_metric(metric)
    samples: Dict[str, Sample] = defaultdict(lambda: Sample({}, {}))
    for record in records:
        value = record['best' if best else 'last'].get(name)
        if value is not None:
            sample = samples[name_of(record)]
            sample.values[record['seed']] = figure(value)
            sample.seconds[record['seed']] = record['seconds']
    return dict(samples)


def p_value(test: Callable, first: List[float], second: List[float]) -> Optional[float]:
    """The p-value of a t-test; None where there is no spread to judge by."""
    if min(len(first), len(second)) < 2:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', RuntimeWarning)  # equal values
        value = float(test(first, second).pvalue)
    return value if value == value else None


def time_ratio(sample: Sample, baseline: Sample, seeds: Sequence[int]) -> Optional[float]:
    """The ratio of the times of two models, the median over common seeds, or that of the medians.

    Args:
        sample (Sample): The model.
        baseline (Sample): The other one.
        seeds (Sequence[int]): The common seeds.

    Returns:
        float, optional: The ratio, or None if a time is not known.
    """
    ours, theirs = (
        [each.seconds[seed] for seed in seeds or each.seconds] for each in (sample, baseline)
    )
    if min(*ours, *theirs) <= 0:
        return None
    if seeds:
        return statistics.median(map(truediv, ours, theirs))
    return statistics.median(ours) / statistics.median(theirs)


def compare(sample: Sample, baseline: Sample) -> Difference:
    """Compare a model with another one, seed by seed where both have the same.

    Args:
        sample (Sample): The model.
        baseline (Sample): The other one.

    Returns:
        Difference: The difference.
    """
    seeds = [seed for seed in sample.values if seed in baseline.values]
    ours = [sample.values[seed] for seed in seeds]
    theirs = [baseline.values[seed] for seed in seeds]
    if seeds:
        mean = statistics.fmean(ours) - statistics.fmean(theirs)
    else:
        mean = sample.mean - baseline.mean
    all_ours, all_theirs = list(sample.values.values()), list(baseline.values.values())
    two_sample = p_value(ttest_ind, all_ours, all_theirs)
    time = time_ratio(sample, baseline, seeds)
    return Difference(mean, len(seeds), two_sample, p_value(ttest_rel, ours, theirs), time)
