"""tools/gpu_check.py, on a CPU and with little to do."""

import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

ROOT = Path(__file__).parents[1]
NETWORK = 'configs/demo/dia-resnet18_digits.py'
with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(ROOT / 'tools')
    import gpu_check


@pytest.fixture
def check(tmp_path, monkeypatch, capsys):
    """Runs the script; the lines of its table, and what it ended with."""

    def call(*args, parts=None):
        if parts is not None:
            monkeypatch.setattr(gpu_check, 'parts', lambda args: parts)
        command = ['gpu_check.py', '--device', 'cpu', '--out', tmp_path, *args]
        monkeypatch.setattr(sys, 'argv', list(map(str, command)))
        try:
            gpu_check.main()
            error = None
        except SystemExit as exit:
            error = exit.code
        lines = capsys.readouterr().out.splitlines()
        table = [line.strip('| ').split(' | ') for line in lines if line.startswith('| ')]
        (written,) = tmp_path.glob('*/table.md')
        assert written.read_text().splitlines() == lines[:-2] and lines[-1] == str(written)
        return {row[0]: row[1] for row in table[1:]}, error

    return call


def test_all_parts(check, monkeypatch, tmp_path):
    (tmp_path / 'test_of_nothing.py').write_text('def test_nothing(): pass')
    monkeypatch.setattr(gpu_check, 'TESTS', [tmp_path / 'test_of_nothing.py'])
    monkeypatch.setattr(gpu_check, 'NETWORKS', [NETWORK])
    monkeypatch.setattr(gpu_check, 'COMPILED', [])
    monkeypatch.setattr(gpu_check, 'EPOCHS', 1)
    small = ('--batch-size', 2, '--image-size', 32, '--seconds', 0.1)
    results, error = check(*small, '--data-root', tmp_path)
    assert error is None
    assert list(results) == ['tests', f'{NETWORK}, eager', 'demo/dia-resnet18_digits']
    assert 'passed' in results['tests']
    ratios, speed = results[f'{NETWORK}, eager'].split('; ')
    assert all(0.5 < float(ratio) < 5 for ratio in ratios.split(' / '))
    assert speed.endswith(' images/s in training') and float(speed.split()[0]) > 0
    accuracy, rest = results['demo/dia-resnet18_digits'].split(' % after 1 epochs, ')
    assert 5 < float(accuracy) <= 100 and rest.endswith(' s with validation')


def part(title, code):
    return gpu_check.Part(title, [sys.executable, '-c', code], gpu_check.last_line)


def test_what_does_not_end_in_time(check):
    slow = part('slow', 'import time; time.sleep(60)')
    results, error = check('--minutes', 0.02, parts=[slow])
    assert results == {'slow': 'FAILED: did not end in time'} and error == 'not all parts passed'


def test_failures_do_not_stop_the_other_parts(check):
    broken = part('broken', 'raise ValueError("no such card")')
    results, error = check(parts=[broken, part('good', 'print("3 passed")')])
    assert results['broken'].startswith('FAILED: ValueError: no such card (')
    assert results['good'] == '3 passed' and error == 'not all parts passed'


def test_ratios_are_those_of_the_benchmark(tmp_path):
    path = tmp_path / 'benchmark.csv'
    rows = ('memory,5,1.25,8', 'forward_backward,0.5,1.5,8', 'forward,0.1,1.125,8')
    path.write_text('\n'.join(('measure,value,ratio,batch_size', *rows)))
    assert gpu_check.read_ratios(path) == '1.12 / 1.50 / 1.25; 16 images/s in training'


def test_a_training_on_cifar_100(tmp_path, monkeypatch):
    root = tmp_path / 'my, data'
    (root / 'cifar100').mkdir(parents=True)
    command = ['gpu_check.py', '--device', 'cpu', '--data-root', str(root), '--out', str(tmp_path)]
    monkeypatch.setattr(sys, 'argv', command)
    args = gpu_check.parse_args()
    args.out.mkdir()
    titles = {part.title: part.command for part in gpu_check.parts(args)}
    assert set(gpu_check.TRAINED) < set(titles) and gpu_check.DIGITS not in titles
    for name in gpu_check.TRAINED:
        assert 'param_scheduler.total_steps=2' in titles[name]
        cfg = Config.fromfile(titles[name][2])
        assert cfg.model == Config.fromfile(ROOT / 'configs' / f'{name}.py').model
        for loader in (cfg.train_dataloader, cfg.val_dataloader):
            assert loader.dataset.data_root == str(root / 'cifar100')


def test_a_machine_without_a_gpu(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(sys, 'argv', ['gpu_check.py'])
    with pytest.raises(SystemExit):
        gpu_check.main()
    assert 'PyTorch finds no GPU' in capsys.readouterr().err
