"""Records of runs, from logs as MMEngine writes them."""

import json
import math
import os
import time
import warnings
from datetime import datetime, timedelta

import pytest

from mmdia.results.records import (
    append_record,
    circumstances,
    read_progress,
    read_records,
    read_work_dir,
    summarize,
)


def write_start(work_dir, name, lines, seconds, config=''):
    """What one start of a run leaves."""
    path = work_dir / name / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text(
        '\n'.join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    )
    path.with_name('config.py').write_text(config)
    times = [datetime(2026, 1, 1, 10), datetime(2026, 1, 1, 10) + timedelta(seconds=seconds)]
    lines = [f'{time:%Y/%m/%d %H:%M:%S} - mmengine - INFO - a line\nof two' for time in times]
    (work_dir / name / f'{name}.log').write_text('\n'.join(lines))


def training(epoch, step, loss):
    epochs = {} if epoch is None else dict(epoch=epoch)
    return dict(lr=0.1, loss=loss, **epochs, iter=step, step=step, time=0.5)


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


SIX_EPOCHS = [line for e in range(1, 7) for line in (training(e, 20 * e, 1), validation(e, 50 + e))]
ITERATIONS = [*(training(None, 50 * n, 1) for n in range(1, 5)), validation(200, 50)]


@pytest.mark.parametrize(
    ('before', 'after', 'steps', 'seconds'),
    (
        (SIX_EPOCHS, [training(1, 20, 2), validation(1, 11)], [1], 40),
        # in larger batches, and with lines further apart
        (SIX_EPOCHS, [training(1, 10, 2), validation(1, 11)], [1], 40),
        (SIX_EPOCHS, [training(1, 40, 2), validation(1, 11)], [1], 40),
        (SIX_EPOCHS, [training(1, 20, 2)], [], 40),
        (SIX_EPOCHS, [training(7, 140, 1), validation(7, 57)], [1, 2, 3, 4, 5, 6, 7], 100),
        # interrupted within an epoch, the first one too
        (SIX_EPOCHS[:5], [training(3, 70, 1), validation(3, 53)], [1, 2, 3], 100),
        (SIX_EPOCHS[:1], [training(1, 25, 1), validation(1, 51)], [1], 100),
        # before a line of the training
        (SIX_EPOCHS, [validation(6, 56)], [1, 2, 3, 4, 5, 6], 100),
        ([validation(0, 1)], [training(1, 20, 1)], [0], 100),
        (ITERATIONS, [training(None, 50, 2), validation(60, 11)], [60], 40),
        (ITERATIONS, [training(None, 150, 1), validation(300, 60)], [200, 300], 100),
    ),
)
def test_start_that_begins_anew_and_start_that_continues(tmp_path, before, after, steps, seconds):
    write_start(tmp_path, '20260101_100000', before, 60)
    write_start(tmp_path, '20260102_100000', after, 40)
    progress = read_progress(tmp_path)
    assert progress['steps'] == steps and progress['seconds'] == seconds
    assert progress['metrics'].get('accuracy/top1', []) == [
        line['accuracy/top1']
        for step in steps
        for line in [line for line in [*before, *after] if line['step'] == step][-1:]
    ]


def test_interrupted_twice_in_the_first_epoch(tmp_path):
    for day, lines in enumerate(([training(1, 20, 3)], [training(1, 40, 2)], SIX_EPOCHS[4:6]), 1):
        write_start(tmp_path, f'2026010{day}_100000', lines, 10)
    progress = read_progress(tmp_path)
    assert progress['seconds'] == 30 and progress['steps'] == [3]


def test_other_scalars_at_the_step_of_a_validation(tmp_path):
    lines = [{'my/a': 1, 'step': 1}, validation(1, 70.0), {'my/b': 2, 'step': 1}]
    write_start(tmp_path, '20260101_100000', [training(1, 20, 3), *lines], 1)
    metrics = read_progress(tmp_path)['metrics']
    assert metrics == {'accuracy/top1': [70.0], 'my/a': [1], 'my/b': [2]}


@pytest.mark.parametrize('zone', ('America/New_York', 'Asia/Shanghai'))
def test_time_depends_on_the_logs_alone(work_dir, monkeypatch, zone):
    """Copies of work dirs are read elsewhere."""
    for file in work_dir.rglob('*'):
        os.utime(file, (0, 0))
    monkeypatch.setenv('TZ', zone)
    time.tzset()
    try:
        assert read_progress(work_dir)['seconds'] == 100
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize('log', (None, '', 'no time\n', '2026/01/01 10:00:00 - mmengine - \n'))
def test_time_that_no_log_tells(tmp_path, log):
    write_start(tmp_path, '20260101_100000', SIX_EPOCHS, 1)
    path = tmp_path / '20260101_100000' / '20260101_100000.log'
    path.unlink() if log is None else path.write_text(log)
    assert read_progress(tmp_path)['seconds'] == 0


def test_clocks_that_are_put_back(tmp_path):
    write_start(tmp_path, '20260101_100000', SIX_EPOCHS, -3000)
    assert read_progress(tmp_path)['seconds'] == 0


def test_folders_of_other_things(work_dir):
    for name in ('backup', '20260101', 'a_20260101_100000'):
        write_start(work_dir, name, SIX_EPOCHS, 1)
    assert read_progress(work_dir)['steps'] == [1, 2, 3]


def test_best_of_values_that_are_no_numbers():
    values = [math.nan, 70.0, None, 75.0, math.nan]
    progress = dict(seconds=1, steps=[*range(5)], losses=[])
    summary = summarize(dict(progress, metrics=dict(a=values, b=[math.nan])))
    assert summary['best']['a'] == 75 and math.isnan(summary['last']['a'])
    assert math.isnan(summary['best']['b'])


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
    assert read_work_dir(work_dir)['run'] == work_dir.name
    (work_dir / 'my-net.py').write_text('')
    seed = read_work_dir(work_dir)['seed']
    assert seed == str(work_dir.resolve())  # runs without seeds differ, paths of one do not
    (work_dir.parent / 'link').symlink_to(work_dir)
    for path in (work_dir.parent / 'link', os.path.relpath(work_dir)):
        assert read_work_dir(path)['seed'] == seed
    config = work_dir / '20260101_120000' / 'vis_data' / 'config.py'
    config.write_text('randomness = dict(seed=3)\n')
    record = read_work_dir(work_dir)
    assert (record['run'], record['seed']) == ('my-net', 3)
    assert record['last'] == {'accuracy/top1': 29.0} and record['config'] == str(config)


def test_files_beside_the_config(work_dir):
    """None of them is run."""
    config = 'custom_imports = dict(imports=["no_such_package"])\nrandomness = dict(seed=3)\n'
    (work_dir / '20260101_120000' / 'vis_data' / 'config.py').write_text(config)
    for name, text in (('another', ''), ('my-net', config), ('my-net_dump', config)):
        (work_dir / f'{name}.py').write_text(text)
    (work_dir / 'script.py').write_text('raise SystemExit("was run")')
    record = read_work_dir(work_dir)
    assert (record['run'], record['seed']) == ('my-net', 3)
    # A test has written its config over that of the training.
    (work_dir / 'my-net.py').write_text('randomness = dict(seed=4)\n')
    (work_dir / 'my-net_dump.py').unlink()
    record = read_work_dir(work_dir)
    assert (record['run'], record['seed']) == (work_dir.name, 3)


def test_config_of_the_last_start_that_trained(work_dir):
    write_start(work_dir, '20260101_130000', [validation(3, 28.0)], 1, 'randomness=dict(seed=5)')
    trained = work_dir / '20260101_120000' / 'vis_data' / 'config.py'
    assert read_work_dir(work_dir)['config'] == str(trained)


def test_what_is_no_work_dir(tmp_path):
    with pytest.raises(ValueError, match='is no work dir: it has no training in'):
        read_work_dir(tmp_path)
    write_start(tmp_path, '20260101_100000', [training(1, 20, 3.0)], 1)
    with pytest.raises(ValueError, match='has no validation'):
        read_work_dir(tmp_path)
    write_start(tmp_path, '20260101_110000', SIX_EPOCHS, 1, 'a = (')
    with pytest.raises(ValueError, match=r'110000/vis_data/config\.py cannot be read'):
        read_work_dir(tmp_path)
    (tmp_path / '20260101_110000' / 'vis_data' / 'config.py').unlink()
    with pytest.raises(
        ValueError, match=r'110000/vis_data/config\.py cannot be read: .*No such file'
    ):
        read_work_dir(tmp_path)


@pytest.mark.parametrize(
    ('lines', 'loop', 'said'),
    (
        (SIX_EPOCHS, 'max_epochs=8', 'after 6 of 8 epochs'),
        (ITERATIONS, 'max_iters=250', 'after 200 of 250 iterations'),
        (SIX_EPOCHS, 'max_epochs=6', None),
        (ITERATIONS, 'max_iters=200', None),
    ),
)
def test_runs_that_did_not_end(tmp_path, lines, loop, said):
    write_start(tmp_path, '20260101_100000', lines, 1, f'train_cfg = dict({loop})')
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        read_work_dir(tmp_path)
    expected = [f'{tmp_path} was last validated {said}'] if said else []
    assert [str(warning.message) for warning in caught] == expected


REST = dict(config='', seed=0, seconds=1.0, best={}, last={})


def test_records_are_added(tmp_path):
    for file, run in (('a', 'a'), ('a', 'b'), ('b', 'c')):
        append_record(tmp_path / 'results' / f'{file}.jsonl', dict(run=run, **REST))
    assert [record['run'] for record in read_records(tmp_path / 'results')] == ['a', 'b', 'c']
    assert [record['run'] for record in read_records(tmp_path / 'results' / 'b.jsonl')] == ['c']
    assert read_records(tmp_path / 'nothing') == []


@pytest.mark.parametrize('rest', ('', '{"run": "b", "conf', '{"run": "b"', '{'))
def test_records_behind_a_line_that_was_cut_short(tmp_path, rest):
    path = tmp_path / 'a.jsonl'
    records = [dict(run=run, **REST) for run in ('a', 'c', 'd')]
    append_record(path, records[0])
    with path.open('a') as file:
        file.write(rest)
    for record in records[1:]:
        append_record(path, record)
    assert read_records(path) == records


def test_records_behind_a_line_without_end(tmp_path):
    path = tmp_path / 'a.jsonl'
    records = [dict(run=run, **REST) for run in ('a', 'b')]
    path.write_text(json.dumps(records[0]))
    append_record(path, records[1])
    assert read_records(path) == records


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
