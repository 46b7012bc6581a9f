"""Records of runs, from logs as MMEngine writes them."""

import json
import os
from datetime import datetime

import pytest

from mmdia.results.records import (
    append_record,
    circumstances,
    read_progress,
    read_records,
    read_work_dir,
    summarize,
)


def write_start(work_dir, name, lines, seconds):
    """What one start of a run leaves."""
    path = work_dir / name / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text(
        '\n'.join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    )
    started = datetime.strptime(name, '%Y%m%d_%H%M%S').timestamp()
    os.utime(path, (started + seconds,) * 2)


def training(epoch, step, loss):
    return dict(lr=0.1, loss=loss, epoch=epoch, iter=step, step=step, time=0.5)


def validation(step, top1):
    return {'accuracy/top1': top1, 'data_time': 0.1, 'time': 0.2, 'step': step}


@pytest.fixture
def work_dir(tmp_path):
    """A run that was killed in its third epoch and resumed from its second."""
    first = [training(1, 10, 4.0), validation(1, 20.0), training(2, 20, 3.0), validation(2, 30.0)]
    write_start(tmp_path, '20260101_100000', [*first, training(3, 25, 2.9), '{"lr": 0.'], 60)
    second = [training(2, 20, 2.8), validation(2, 31.0), training(3, 30, 2.0), validation(3, 29.0)]
    write_start(tmp_path, '20260101_120000', second, 40)
    return tmp_path


def test_progress_of_a_resumed_run(work_dir):
    progress = read_progress(work_dir)
    assert (progress['epoch'], progress['iter']) == (3, 30)
    assert progress['seconds'] == pytest.approx(100)
    assert progress['steps'] == [1, 2, 3]
    assert progress['metrics'] == {'accuracy/top1': [20.0, 31.0, 29.0]}
    assert progress['losses'] == [4.0, 2.8, 2.0]
    summary = summarize(progress)
    assert summary['best'] == {'accuracy/top1': 31.0}
    assert summary['last'] == {'accuracy/top1': 29.0}


def test_nothing_yet(tmp_path):
    progress = read_progress(tmp_path)
    assert progress['iter'] == progress['seconds'] == 0
    assert progress['steps'] == [] and progress['metrics'] == {}


def test_metrics_that_come_late(tmp_path):
    """CocoMetric says nothing where nothing is detected."""
    lines = [dict(data_time=0.1, time=0.2, step=1), {'coco/bbox_mAP': 0.1, 'step': 2}]
    write_start(tmp_path, '20260101_100000', lines, 1)
    summary = summarize(read_progress(tmp_path))
    assert summary['metrics'] == {'coco/bbox_mAP': [None, 0.1]}
    assert summary['last'] == {'coco/bbox_mAP': 0.1}


def test_damaged_logs(tmp_path):
    write_start(tmp_path, '20260101_100000', [training(1, 1, 1.0), '{', validation(1, 1.0)], 1)
    with pytest.raises(ValueError, match=r'scalars\.json, line 2'):
        read_progress(tmp_path)


def test_any_work_dir(work_dir):
    with pytest.raises(ValueError, match='has no config'):
        read_work_dir(work_dir)
    (work_dir / 'my-net.py').write_text('')
    assert read_work_dir(work_dir)['seed'] == str(work_dir)  # runs without seeds differ
    (work_dir / 'my-net.py').write_text('randomness = dict(seed=3)\n')
    record = read_work_dir(work_dir)
    assert (record['run'], record['seed']) == ('my-net', 3)
    assert record['last'] == {'accuracy/top1': 29.0}


def test_unvalidated_work_dir(tmp_path):
    (tmp_path / 'my-net.py').write_text('')
    with pytest.raises(ValueError, match='has no validation'):
        read_work_dir(tmp_path)


def test_records_are_added(tmp_path):
    rest = dict(config='', seed=0, seconds=1.0, best={}, last={})
    for file, run in (('a', 'a'), ('a', 'b'), ('b', 'c')):
        append_record(tmp_path / 'results' / f'{file}.jsonl', dict(run=run, **rest))
    assert [record['run'] for record in read_records(tmp_path / 'results')] == ['a', 'b', 'c']
    assert [record['run'] for record in read_records(tmp_path / 'results' / 'b.jsonl')] == ['c']
    assert read_records(tmp_path / 'nothing') == []


@pytest.mark.parametrize(
    ('line', 'message'),
    (
        ('{"run": "a"}', r'a\.jsonl, line 1: no config, seed, seconds, best, last'),
        ('5\n{}', r'a\.jsonl, line 1: must be an object, got 5'),
        ('{"run"\n{}', r'a\.jsonl, line 1: '),
    ),
)
def test_what_is_no_record(tmp_path, line, message):
    (tmp_path / 'a.jsonl').write_text(line)
    with pytest.raises(ValueError, match=message):
        read_records(tmp_path)


def test_circumstances():
    found = circumstances()
    assert found['hardware'] and found['threads'] >= 1
    assert found['versions']['torch'] and found['versions']['mmengine']
    assert json.loads(json.dumps(found)) == found
