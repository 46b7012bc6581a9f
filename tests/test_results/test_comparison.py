"""Statistics over seeds, against their formulas."""

import math
import statistics

import pytest
from scipy.stats import t

from mmdia.results.comparison import METRICS, collect, compare
from mmdia.results.models import format_p
from mmdia.results.rows import read_rows

PLAIN = {0: 50.0, 1: 50.4, 2: 49.9}
DIA = {0: 51.0, 1: 51.1, 2: 50.8, 3: 51.6}


def records(run, values, **others):
    return [
        dict(
            run=run,
            seed=seed,
            seconds=100.0 + seed,
            last={'accuracy/top1': value},
            best={'accuracy/top1': value + 1},
            **others,
        )
        for seed, value in values.items()
    ]


def samples(first, second, **kwargs):
    both = collect([*records('dia', first), *records('plain', second)], 'accuracy', **kwargs)
    return both['dia'], both['plain']


def two_sided(statistic, freedom):
    return 2 * t.sf(abs(statistic), freedom)


def test_mean_and_deviation():
    dia, _ = samples(DIA, PLAIN)
    assert dia.values == DIA
    assert dia.mean == pytest.approx(51.125)
    assert dia.deviation == pytest.approx(
        math.sqrt(sum((v - 51.125) ** 2 for v in DIA.values()) / 3)
    )
    best, _ = samples(DIA, PLAIN, best=True)
    assert best.mean == pytest.approx(52.125)


def test_tests_of_student():
    difference = compare(*samples(DIA, PLAIN))
    assert difference.seeds == 3
    pairs = [DIA[seed] - PLAIN[seed] for seed in range(3)]
    assert difference.mean == pytest.approx(statistics.fmean(pairs))
    paired = statistics.fmean(pairs) / (statistics.stdev(pairs) / math.sqrt(3))
    assert difference.paired == pytest.approx(two_sided(paired, 2))
    ours, theirs = list(DIA.values()), list(PLAIN.values())
    pooled = (3 * statistics.variance(ours) + 2 * statistics.variance(theirs)) / 5
    mean = statistics.fmean(ours) - statistics.fmean(theirs)
    independent = mean / math.sqrt(pooled * (1 / 4 + 1 / 3))
    assert difference.two_sample == pytest.approx(two_sided(independent, 5))
    assert difference.time == 1.0


def test_too_few_seeds():
    dia, plain = samples({0: 51.0}, {0: 50.0})
    difference = compare(dia, plain)
    assert dia.deviation is None
    assert difference.mean == 1 and difference.two_sample is difference.paired is None


def test_other_seeds():
    """Runs of any users: nothing to pair, but two samples."""
    difference = compare(*samples({0: 51.0, 1: 52.0}, {2: 50.0, 3: 51.5, 4: 50.5}))
    assert difference.mean == pytest.approx(51.5 - 152 / 3) and difference.seeds == 0
    assert difference.paired is None and 0 < difference.two_sample < 1
    assert difference.time == pytest.approx(100.5 / 103)


def test_times_that_are_not_known():
    dia, plain = samples({0: 51.0, 1: 52.0}, {0: 50.0, 1: 51.0})
    for seconds in (dict.fromkeys(plain.seconds, 0.0), {0: 0.0, 1: 100.0}):
        unknown = plain._replace(seconds=seconds)
        others = unknown._replace(values={2: 50.0}, seconds={2: 0.0})
        for pair in ((dia, unknown), (unknown, dia), (dia, others), (others, dia)):
            assert compare(*pair).time is None


@pytest.mark.filterwarnings('error')
def test_equal_results():
    difference = compare(*samples({0: 50.0, 1: 50.0}, {0: 50.0, 1: 50.0}))
    assert difference.mean == 0 and difference.two_sample is difference.paired is None


def test_later_records_replace_earlier_ones():
    both = collect([*records('dia', {0: 1.0}), *records('dia', {0: 2.0})], 'accuracy')
    assert both['dia'].values == {0: 2.0}


def test_metrics():
    detector = dict(run='d', seed=0, seconds=1.0, best={}, last={'coco/bbox_mAP': 0.382})
    assert collect([detector], 'box_AP')['d'].mean == pytest.approx(38.2)
    assert collect([detector], 'coco/bbox_mAP')['d'].mean == pytest.approx(38.2)
    assert collect([detector], 'accuracy') == {}
    classifier = records('c', {0: 76.4})
    assert collect(classifier, 'error')['c'].mean == pytest.approx(23.6)


def test_metrics_of_the_table():
    """Each has a scalar of the library's evaluators, but for the classes of the chest X-rays."""
    known = {*METRICS, 'accuracy_pneumonia', 'accuracy_normal'}
    assert {row.metric for row in read_rows()} <= known
    assert METRICS['box_AP'][0] == 'coco/bbox_mAP' and METRICS['mask_AP_S'][0] == 'coco/segm_mAP_s'


@pytest.mark.parametrize(
    'p, text',
    [(None, ''), (0.0004, '< 0.001 *'), (0.001, '0.001 *'), (0.049, '0.049 *'), (0.05, '0.050')],
)
def test_p_values_in_tables(p, text):
    assert format_p(p) == text
