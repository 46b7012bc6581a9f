"""tools/reproduce.py: runs that are killed, that fail, and that are done."""

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv import imwrite

from mmdia.results.records import read_records
from mmdia.results.rows import read_rows
from mmdia.results.runs import Run, Settings, move_data

ROOT = Path(__file__).parents[2]
with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(ROOT / 'tools')
    import reproduce

RUN = 'small/dia-resnet18-w16_b128-20e_cifar100'
ROW = next(row for row in read_rows() if row.run == RUN)


@pytest.fixture
def tool(tmp_path, monkeypatch, capsys):
    """Run the tool in this process: what it prints, line by line."""
    monkeypatch.chdir(tmp_path)

    def main(*args):
        monkeypatch.setattr(sys, 'argv', ['reproduce.py', *map(str, args)])
        reproduce.main()
        return capsys.readouterr().out.splitlines()

    return main


@pytest.fixture
def images(tmp_path):
    """100 classes of tiny images, where the config looks for CIFAR-100."""
    rng = np.random.default_rng(0)
    for split, number in (('train', 2), ('test', 1)):
        for name in range(100):
            for index in range(number):
                image = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                imwrite(
                    image,
                    str(tmp_path / 'images' / 'cifar100' / split / f'{name:02}' / f'{index}.png'),
                )
    return tmp_path / 'images'


def kill_when_saved(trainer, pattern, ended):
    """Kill the training of a trainer as soon as there is a file."""
    while not list(Path().glob(pattern)):
        if ended.wait(0.1):
            return
    trainer.active[0][1].kill()


def test_killed_and_resumed(tool, images, monkeypatch):
    """A run that is killed fails; the next call goes on with it, the third has nothing to do."""
    args = [RUN, '--epochs', 3, '--data-root', images, '--amp', '--channels-last']
    start = reproduce.Trainer.train

    def train_and_be_killed(trainer):
        ended = threading.Event()
        killer = threading.Thread(
            target=kill_when_saved, args=(trainer, '**/epoch_[12].pth', ended)
        )
        killer.start()
        start(trainer)
        ended.set()
        killer.join()

    with monkeypatch.context() as patch:
        patch.setattr(reproduce.Trainer, 'train', train_and_be_killed)
        with pytest.raises(SystemExit, match='1 of 1 runs failed'):
            tool(*args)
    assert read_records('results') == []
    assert any('accuracy/top1' in line for line in tool(*args))
    (record,) = read_records('results')
    assert record['run'] == RUN and record['seed'] == 0
    assert (record['length'], record['full_length']) == (3, 20)
    assert record['amp'] and record['channels_last']
    assert record['steps'] == [1, 2, 3] and len(record['losses']) == 3
    assert record['last']['accuracy/top1'] == record['metrics']['accuracy/top1'][-1]
    logs = list(Path('work_dirs').glob('**/scalars.json'))
    assert len(logs) == 2  # of two starts: the second did not begin anew
    tool(*args)
    assert len(read_records('results')) == 1


def test_sigterm_stops_the_runs(monkeypatch):
    process = subprocess.Popen(['sleep', '60'])
    trainer = reproduce.Trainer([], 1, Path('results'))
    trainer.active[0] = 'a run', process
    monkeypatch.setattr(trainer, 'look', lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert process.returncode == -signal.SIGTERM


def test_ctrl_c_needs_no_traceback(tool, monkeypatch):
    def interrupt(trainer):
        raise KeyboardInterrupt

    monkeypatch.setattr(reproduce.Trainer, 'train', interrupt)
    with pytest.raises(SystemExit, match='the same command continues these runs'):
        tool(RUN)


def test_ctrl_c_reaches_the_runs_once(tmp_path, monkeypatch):
    """A terminal sends it to all processes of its group; at a second signal, runs save nothing."""
    run = Run(ROW, 0, Settings(), tmp_path)
    program = 'import signal; signal.signal(signal.SIGINT, signal.SIG_DFL); signal.pause()'
    monkeypatch.setattr(run, 'command', lambda: [sys.executable, '-c', program])
    process = run.start()
    assert os.getpgid(process.pid) != os.getpgid(0)
    process.kill()
    process.wait()


@pytest.mark.parametrize(
    ('visible', 'number', 'each', 'expected'),
    (
        (None, 0, 1, ['', '', '']),
        (None, 1, 1, ['', '', '']),
        (None, 2, 1, ['0', '1', '0']),
        ('2,3', 2, 1, ['2', '3', '2']),
        ('GPU-a,GPU-b,-1,4', 2, 1, ['GPU-a', 'GPU-b', 'GPU-a']),
        (None, 4, 2, ['0,1', '2,3', '0,1']),
        ('7,6,5,4', 4, 2, ['7,6', '5,4', '7,6']),
        (None, 5, 4, ['', '', '']),
    ),
)
def test_gpus_of_jobs(visible, number, each, expected, monkeypatch, tmp_path):
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    if visible:
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', visible)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: number)
    for launcher in ('pytorch', 'slurm'):
        run = Run(ROW, 0, Settings(launcher=launcher, gpus=each), tmp_path)
        for job, gpus in enumerate(expected):
            gpus = gpus if launcher == 'pytorch' else ''
            assert ','.join(reproduce.gpus_of(job, run)) == gpus
            names = run.environment(reproduce.gpus_of(job, run)).get('CUDA_VISIBLE_DEVICES')
            assert names == (gpus or visible)


@pytest.mark.parametrize('error', (OSError('[/disk] is full'), ValueError('x')))
def test_records_that_fail(error, monkeypatch, capsys):
    """The other runs go on; the next call records."""

    def record(run):
        raise error

    run = Run(ROW, 0, Settings(), Path('root'))
    monkeypatch.setattr(Run, 'record', record)
    trainer = reproduce.Trainer([run], 1, Path('results'))
    trainer.end(run, 0)
    assert trainer.failed == [run]
    assert f'failed: {error}' in ' '.join(capsys.readouterr().out.split())


def test_results_that_cannot_be_written(tool):
    Path('file').touch()
    with pytest.raises(SystemExit, match='--results file/results cannot be written'):
        tool(RUN, '--results', 'file/results')


def test_failures_are_survived(tool, monkeypatch):
    """Each run says why, and the others go on."""
    code = 'import sys; sys.exit(f"nothing in {sys.argv[1]}")'
    monkeypatch.setattr(
        Run, 'command', lambda run: [sys.executable, '-c', code, 'nothing/cifar100']
    )
    with pytest.raises(SystemExit, match='2 of 2 runs failed') as error:
        tool(RUN, 'small/resnet18-w16*cifar100', '--data-root', 'nothing', '--jobs', 2)
    outputs = [line.rpartition(' ')[2] for line in str(error.value).splitlines()[1:]]
    assert len(outputs) == 2
    for output in outputs:
        assert 'nothing/cifar100' in Path(output).read_text()
    assert read_records('results') == []


def test_selection(tool):
    rows = read_rows()
    for args, expected in (
        ([], rows),
        (['--paper', 'DLA'], [row for row in rows if row.paper == 'DLA']),
        (
            ['--paper', 'DIANet', '--table', 4],
            [r for r in rows if (r.paper, r.table) == ('DIANet', '4')],
        ),
        (['small/*'], [row for row in rows if row.run.startswith('small/')]),
    ):
        assert len(expected) > 1 and len(tool(*args, '--list')) == 1 + len(expected)
    with pytest.raises(SystemExit, match='no row'):
        tool('no-such-run', '--list')


def test_commands(tool):
    """A run stands in several tables and is trained once, with each seed."""
    lines = tool('dia/dia-resnet164_b128-180e_cifar100', '--seeds', 2, '--dry-run')
    assert len(lines) == 2 and all(
        'tools/train.py' in line and '--resume' in line for line in lines
    )
    assert not Path('work_dirs').exists()
    (line,) = tool(RUN, '--dry-run', '--launcher', 'pytorch', '--gpus', 4, '--scale', 0.1)
    assert 'dist_train.sh' in line and '2of20-4processes-seed0.py 4 ' in line
    (line,) = tool(RUN, '--dry-run', '--launcher', 'slurm', '--partition', 'gpu', '--gpus', 8)
    assert f'slurm_train.sh gpu {RUN} ' in line


@pytest.mark.parametrize(
    ('args', 'message'),
    (
        ([], 'name the runs, --paper or --table'),
        ([RUN, '--seeds', 0], '--seeds must be positive, got 0'),
        ([RUN, '--scale', -1.0], '--scale must be positive, got -1.0'),
        ([RUN, '--gpus', 2], '--gpus needs --launcher'),
        ([RUN, '--launcher', 'slurm'], '--launcher slurm needs --partition'),
    ),
)
def test_bad_options(tool, capsys, args, message):
    with pytest.raises(SystemExit):
        tool(*args)
    assert message in capsys.readouterr().err


def test_damaged_records(tool):
    Path('results').mkdir()
    Path('results/mmdia.jsonl').write_text('{"run"\n{}\n')
    with pytest.raises(SystemExit, match=r'--results: results/mmdia\.jsonl, line 1'):
        tool(RUN)


def test_work_dirs_differ():
    """Whatever changes the outcome has a work dir of its own."""
    settings = (
        Settings(),
        Settings(epochs=5),
        Settings(amp=True),
        Settings(channels_last=True),
        Settings(launcher='pytorch', gpus=2),
    )
    runs = [Run(ROW, seed, each, Path('root')) for each in settings for seed in (0, 1)]
    assert len({run.work_dir for run in runs}) == len(runs)
    for run in runs:
        others = [dict(other.identity) for other in runs if other is not run]
        assert not run.is_recorded(others) and run.is_recorded([*others, dict(run.identity, a=1)])


@pytest.mark.parametrize(
    ('options', 'kept'), (('', 1), ('default_hooks.checkpoint.max_keep_ckpts=3', 3))
)
def test_number_of_checkpoints(options, kept):
    run = Run(replace(ROW, options=options), 0, Settings(), Path('root'))
    assert run.cfg.default_hooks.checkpoint.max_keep_ckpts == kept


def test_moved_data():
    cfg = dict(
        data_root='data/coco/',
        ann_file='data/coco/a.json',
        type='database',
        list=['data', 'data/x'],
    )
    assert move_data(cfg, '/disk') == dict(
        data_root='/disk/coco/',
        ann_file='/disk/coco/a.json',
        type='database',
        list=['/disk', '/disk/x'],
    )
