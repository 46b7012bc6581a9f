"""tools/analysis_tools/compare.py: its tables, and those of the page of results."""

import csv
import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from mmdia.results.comparison import METRICS

ROOT = Path(__file__).parents[2]
with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(ROOT / 'tools' / 'analysis_tools')
    import compare

PAGE = (ROOT / 'docs' / 'results.md').read_text(encoding='utf-8')
TABLES = re.findall(r'<!-- compare\.py (.*) -->\n((?:\|.*\n)+)', PAGE)
NAMES = ('resnet18-w16_b128-20e_cifar100', 'dia-resnet18-w16_b128-20e_cifar100')


@pytest.fixture
def tool(monkeypatch, capsys):
    """Run the tool in this process: the lines of its table."""

    def main(*args):
        monkeypatch.setattr(sys, 'argv', ['compare.py', *map(str, args)])
        compare.main()
        return [line for line in capsys.readouterr().out.splitlines() if line.startswith('|')]

    return main


def record(run, value, scalar='accuracy/top1', **others):
    """A record of a run."""
    return dict(run=run, config='', seed=0, seconds=1.0, best={}, last={scalar: value}) | others


def write_records(path, lines):
    path.write_text('\n'.join(map(json.dumps, lines)))


@pytest.fixture
def results(tmp_path):
    """Records of two networks over two seeds."""
    lines = [
        record(
            f'small/{name}',
            60.0 + number + seed,
            seed=seed,
            seconds=100.0 * (1 + number),
            best={'accuracy/top1': 62.0 + number + seed},
        )
        for number, name in enumerate(NAMES)
        for seed in (0, 1)
    ]
    write_records(tmp_path / 'mmdia.jsonl', lines)
    return tmp_path


CONFIG = """
default_scope = 'mmpretrain'
randomness = dict(seed={seed})
model = dict(
    type='ImageClassifier',
    backbone=dict(type='mmdia.CIFARResNet', depth={depth}, block='basic'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=10, in_channels=64),
)
"""


def write_run(folder, config, accuracy, name='net'):
    """The work dir of a run of MMEngine."""
    start = folder / '20260101_000000'
    (start / 'vis_data').mkdir(parents=True)
    for file in (folder / f'{name}.py', start / 'vis_data' / 'config.py'):
        file.write_text(config)
    lines = [dict(loss=2.0, epoch=1, step=10), {'accuracy/top1': accuracy, 'step': 1}]
    (start / 'vis_data' / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)))
    return folder


def cells(line):
    return [cell.strip() for cell in line.strip('|').split('|')]


@pytest.mark.parametrize(('args', 'table'), TABLES, ids=lambda text: text[:30])
def test_page_of_results_is_up_to_date(tool, monkeypatch, args, table):
    monkeypatch.chdir(ROOT)
    assert tool(*shlex.split(args)) == table.splitlines()


def test_page_has_tables():
    assert TABLES


def test_table(tool, results):
    header, _, plain, dia = map(
        cells,
        tool(results, '--image-size', 8, '--csv', results / 'a.csv', '--plot', results / 'a.svg'),
    )
    assert header[0] == 'model' and header[4] == 'accuracy'
    assert plain[1] == '0.713' and plain[3:] == ['', '60.50 ± 0.71', '2', '', '', '']
    assert dia[1] == '0.770' and dia[3:7] == ['2.00', '61.50 ± 0.71', '2', '+1.00']
    with open(results / 'a.csv', newline='') as file:
        assert list(csv.reader(file)) == [header, plain, dia]
    assert 'dia-resnet18-w16' in (results / 'a.svg').read_text()


def test_best_epoch_and_baseline(tool, results):
    baseline = f'small/{NAMES[1]}'
    lines = tool(results / 'mmdia.jsonl', '--image-size', 8, '--best', '--baseline', baseline)
    plain = cells(lines[2])
    assert plain[4] == '62.50 ± 0.71' and plain[3] == '0.50' and plain[6] == '-1.00'


def test_further_metrics(tool, tmp_path):
    lines = [record(f'small/{name}', 60.0, seed=seed) for name in NAMES for seed in (0, 1)]
    for seed, line in enumerate(lines[2:]):
        line['last']['coco/cat_precision'] = 0.25 + seed / 2
    write_records(tmp_path / 'a.jsonl', lines)
    args = (tmp_path, '--image-size', 8, '--also', 'coco/cat_precision', 'error')
    header, _, plain, dia = map(cells, tool(*args))
    assert header[:7] == [
        *('model', 'parameters (M)', 'FLOPs (G)', 'time'),
        *('accuracy', 'coco/cat_precision', 'error'),
    ]
    assert plain[4:7] == ['60.00 ± 0.00', '', '40.00 ± 0.00']
    assert dia[5] == '50.00 ± 35.36'  # of 25 and 75
    with pytest.raises(SystemExit, match="no record of the models has the metric 'eror'"):
        tool(tmp_path, '--image-size', 8, '--also', 'eror')


def test_work_dirs_with_configs_of_one_name(tool, tmp_path):
    """What differs in more than the seed is another model."""
    runs = [
        write_run(tmp_path / folder, CONFIG.format(depth=depth, seed=seed), accuracy)
        for folder, depth, seed, accuracy in (
            *(('a/0', 20, 0, 60.0), ('a/1', 20, 1, 61.0)),
            *(('b/0', 32, 0, 90.0), ('b/1', 32, 1, 91.0), ('c', 32, 0, 40.0)),
        )
    ]
    write_run(tmp_path / 'd', CONFIG.format(depth=44, seed=0), 10.0, 'another')
    size = ('--image-size', 8)
    (line,) = map(cells, tool(*runs[:2], *size)[2:])
    assert (line[0], line[3]) == ('net', '60.50 ± 0.71')
    for first, second, names in (
        (runs[0], runs[2], [str(runs[0]), str(runs[2])]),  # both folders are named 0
        (runs[0], runs[3], ['0', '1']),
        (runs[0], runs[4], ['0', 'c']),
    ):
        *lines, another = map(
            cells, tool(first, second, tmp_path / 'd', *size, '--baseline', names[0])[2:]
        )
        assert [line[0] for line in lines] == names and another[0] == 'another'
    a, b = map(cells, tool(*runs[:4], *size, '--baseline', str(runs[0]))[2:])
    assert [a[0], *a[3:5]] == [str(runs[0]), '60.50 ± 0.71', '2']
    assert [b[0], *b[3:6]] == [str(runs[2]), '90.50 ± 0.71', '2', '+30.00']


@pytest.mark.parametrize(
    'config',
    (
        CONFIG.format(depth=20, seed=0).replace('mmdia.CIFARResNet', 'TheirNet'),
        CONFIG.format(depth=20, seed=0) + "custom_imports = dict(imports=['no_such_package'])",
        '',
    ),
)
def test_models_that_cannot_be_built(tool, tmp_path, config):
    runs = [
        write_run(tmp_path / 'a', config, 60.0, 'theirs'),
        write_run(tmp_path / 'b', CONFIG.format(depth=20, seed=0), 70.0),
    ]
    with pytest.warns(UserWarning, match='no size and FLOPs of theirs: '):
        header, _, theirs, ours = map(
            cells, tool(*runs, '--image-size', 8, '--plot', tmp_path / 'a.svg')
        )
    assert header[:4] == ['model', 'parameters (M)', 'FLOPs (G)', 'accuracy']
    assert theirs[:4] == ['theirs', '', '', '60.00']
    assert ours[0] == 'net' and float(ours[1]) > 0 and float(ours[2]) > 0
    with pytest.warns(UserWarning, match='no size and FLOPs of theirs: '):
        header, *_ = map(cells, tool(runs[0], '--plot', tmp_path / 'a.svg'))
    assert header == ['model', 'accuracy', 'seeds']


@pytest.mark.parametrize('metric', ('accuracy/top1', 'accuracy_top5', 'error', 'box_AP50'))
def test_metrics_that_the_table_of_rows_does_not_list(tool, tmp_path, monkeypatch, metric):
    """The models and their baselines are those of the rows all the same."""
    monkeypatch.chdir(tmp_path)
    scalar = METRICS.get(metric, [metric])[0]
    write_records(tmp_path / 'a.jsonl', [record(f'small/{name}', 0.5, scalar) for name in NAMES])
    plain, dia = map(cells, tool('a.jsonl', '--image-size', 8, '--metric', metric)[2:])
    assert (plain[1], dia[1]) == ('0.713', '0.770') and dia[6] == '+0.00'


def test_baseline_that_is_none_of_the_runs(tool, results):
    with pytest.raises(SystemExit, match=f'--baseline must be one of small/{NAMES[0]}, .*, got a'):
        tool(results, '--baseline', 'a')


def test_runs_without_the_metric_are_named(tool, results, monkeypatch, capsys):
    write_records(results / 'more.jsonl', [record('detector', 0.5, 'coco/bbox_mAP')])
    with pytest.raises(SystemExit, match=r"'bbox_mAP'; their scalars: coco/bbox_mAP$"):
        tool(results, '--metric', 'bbox_mAP', '--runs', 'det*')
    for runs, message in (('small/*', ''), ('*', 'left out, without accuracy: detector\n')):
        args = ['compare.py', str(results), '--image-size', '8', '--runs', runs]
        monkeypatch.setattr(sys, 'argv', args)
        compare.main()
        assert capsys.readouterr().err == message


def test_what_cannot_be_compared(tool, results, tmp_path):
    with pytest.raises(SystemExit, match=r"no record of --runs 'no\*' has --metric 'accuracy'"):
        tool(results, '--runs', 'no*')
    with pytest.raises(SystemExit, match='nothing does not exist'):
        tool(results, tmp_path / 'nothing')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(SystemExit, match='empty is no work dir'):
        tool(tmp_path / 'empty')


def test_work_dirs_without_a_result_are_left_out(tool, tmp_path):
    run = write_run(tmp_path / 'run', CONFIG.format(seed=0, depth=8), 50.0)
    stopped = write_run(tmp_path / 'stopped', CONFIG.format(seed=1, depth=8), 50.0)
    scalars = stopped / '20260101_000000' / 'vis_data' / 'scalars.json'
    scalars.write_text(scalars.read_text().splitlines()[0])
    (tmp_path / 'empty').mkdir()
    with pytest.warns(UserWarning, match='left out: ') as caught:
        (line,) = tool(stopped, run, tmp_path / 'empty', '--image-size', '8')[2:]
    assert cells(line)[0] == 'net' and '50.00' in cells(line)
    messages = ' '.join(str(warning.message) for warning in caught)
    assert f'{stopped} has no validation' in messages and 'empty is no work dir' in messages


@pytest.mark.parametrize(
    ('args', 'message'),
    (
        (['--image-size', 0], '--image-size must be positive, got 0'),
        (['--plot', 'a.txt'], '--plot must end in .png, .pdf or .svg, got a.txt'),
        (['--csv', '/'], '--csv / cannot be written: '),
    ),
)
def test_bad_options(tool, capsys, args, message):
    with pytest.raises(SystemExit) as error:
        tool(*args)
    assert message in f'{error.value}{capsys.readouterr().err}'


def test_shortened_schedule_beside_its_twin(tool, tmp_path):
    lines = [
        record(f'small/{name}', 10.0 * length + number, length=length, full_length=20)
        for number, name in enumerate(NAMES)
        for length in (2, 20)
    ]
    write_records(tmp_path / 'a.jsonl', lines)
    table = [cells(line) for line in tool(tmp_path, '--image-size', 8)[2:]]
    assert [(row[0].partition(', ')[2], row[4], row[6]) for row in table] == [
        ('2 of 20 epochs', '20.00', ''),
        ('', '200.00', ''),
        ('2 of 20 epochs', '21.00', '+1.00'),
        ('', '201.00', '+1.00'),
    ]


def test_what_a_paper_prints_is_of_the_whole_schedule(tool, tmp_path):
    run = 'rla/rla-resnet56-basic_b128-160e_cifar10'
    lines = [record(run, 90.0, length=length, full_length=160) for length in (16, 160)]
    write_records(tmp_path / 'a.jsonl', lines)
    rows = tool(tmp_path, '--image-size', 8, '--metric', 'error')
    assert [cells(row)[-1] for row in rows[2:]] == ['', '6.42']
