"""Comparison of trained models over seeds."""

import statistics
import warnings
from collections import defaultdict
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


class Sample(NamedTuple):
    """What the runs of one model reached, by their seeds.

    Args:
        values (Dict[int, float]): The metric.
        seconds (Dict[int, float]): The time.
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


class Difference(NamedTuple):
    """A model beside another one.

    Args:
        mean (float): The mean difference over the seeds that both have.
        seeds (int): Their number.
        two_sample (float, optional): The p-value of Student's t-test of two
            samples, as in Layer-wise Shared Attention; None for fewer than two
            seeds.
        paired (float, optional): The p-value of the test that compares runs of
            the same seed.
        time (float): The ratio of the times.
    """

    mean: float
    seeds: int
    two_sample: Optional[float]
    paired: Optional[float]
    time: float


def collect(records: Sequence[dict], metric: str, best: bool = False) -> Dict[str, Sample]:
    """Collect the values of a metric by models.

    Args:
        records (Sequence[dict]): Records; the last one of a model and a seed counts.
        metric (str): One of :data:`METRICS`, or the name of a scalar.
        best (bool): Whether the best epoch counts, which is chosen on the data it is
            measured on, or the last one. Defaults to False.

    Returns:
        Dict[str, Sample]: The samples by the names of the runs; records without the
        metric are left out.
    """
    name, figure = METRICS.get(metric, (metric, float))
    samples = defaultdict(lambda: Sample({}, {}))
    for record in records:
        value = record['best' if best else 'last'].get(name)
        if value is not None:
            samples[record['run']].values[record['seed']] = figure(value)
            samples[record['run']].seconds[record['seed']] = record['seconds']
    return dict(samples)


def p_value(test, first: List[float], second: List[float]) -> Optional[float]:
    """The p-value of a t-test; None where there is no spread to judge by."""
    if min(len(first), len(second)) < 2:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', RuntimeWarning)  # equal values
        value = float(test(first, second).pvalue)
    return value if value == value else None


def compare(sample: Sample, baseline: Sample) -> Optional[Difference]:
    """Compare a model with another one, over the seeds that both were trained with.

    Args:
        sample (Sample): The model.
        baseline (Sample): The other one.

    Returns:
        Difference, optional: The difference, or None if they have no seed in common.
    """
    seeds = sorted(sample.values.keys() & baseline.values.keys())
    if not seeds:
        return None
    ours = [sample.values[seed] for seed in seeds]
    theirs = [baseline.values[seed] for seed in seeds]
    return Difference(
        statistics.fmean(ours) - statistics.fmean(theirs),
        len(seeds),
        p_value(ttest_ind, list(sample.values.values()), list(baseline.values.values())),
        p_value(ttest_rel, ours, theirs),
        statistics.median(sample.seconds[seed] / baseline.seconds[seed] for seed in seeds),
    )
