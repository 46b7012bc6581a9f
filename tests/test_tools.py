"""The tools, run as users run them, for both libraries."""

import json
import subprocess
import sys
from pathlib import Path

import mmengine
import pytest

ROOT = Path(__file__).parents[1]
DIGITS = dict(
    config='configs/demo/dia-resnet18_digits.py',
    options=(
        'train_dataloader.dataset.indices=128',
        'train_dataloader.batch_size=64',
        'val_dataloader.dataset.indices=32',
        'test_dataloader.dataset.indices=32',
    ),
    metric='accuracy/top1',
)
SHAPES = dict(
    config='configs/demo/faster-rcnn_dia-r18_fpn_shapes.py',
    options=(
        'train_dataloader.dataset.num_images=8',
        'val_dataloader.dataset.num_images=4',
        'test_dataloader.dataset.num_images=4',
        'train_cfg.val_interval=1',
        # An untrained detector finds something only if asked for little confidence.
        'model.test_cfg.rcnn.score_thr=0.0',
        'model.roi_head.bbox_head.num_classes=3',
    ),
    metric='coco/bbox_mAP',
)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))

    def run_tool(tool, *args):
        command = [sys.executable, str(ROOT / 'tools' / tool), *map(str, args)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout + done.stderr

    return run_tool


@pytest.mark.parametrize('task', (DIGITS, SHAPES), ids=('classification', 'detection'))
def test_train_resume_and_test(run, tmp_path, task):
    work_dir = tmp_path / 'run'
    options = ('--work-dir', work_dir, '--cfg-options', *task['options'])

    run('train.py', task['config'], *options, 'train_cfg.max_epochs=1')
    checkpoint = Path((work_dir / 'last_checkpoint').read_text())
    assert checkpoint == work_dir / 'epoch_1.pth' and checkpoint.is_file()

    log = run('train.py', task['config'], '--resume', *options, 'train_cfg.max_epochs=2')
    assert f'Load checkpoint from {checkpoint}' in log and 'resumed epoch: 1' in log
    assert not checkpoint.exists()
    checkpoint = work_dir / 'epoch_2.pth'

    shown, out = tmp_path / 'shown', tmp_path / 'metrics.json'
    args = (task['config'], checkpoint, '--show-dir', shown, '--out', out, '--out-item', 'metrics')
    run('test.py', *args, *options)
    metrics = json.loads(out.read_text())
    assert task['metric'] in metrics
    count = 32 if task is DIGITS else 4
    assert len(list(tmp_path.rglob('shown/**/*.*g'))) == count

    out = tmp_path / 'predictions.pkl'
    run('test.py', task['config'], checkpoint, '--out', out, '--tta', *options)
    assert len(mmengine.load(out)) == count


def test_options_change_only_what_they_name():
    code = f"""
import runpy, sys
from types import SimpleNamespace
from mmengine.config import Config
tool = runpy.run_path({str(ROOT / 'tools' / 'test.py')!r})

cfg = Config.fromfile({str(ROOT / SHAPES['config'])!r})
cfg.default_hooks.visualization.wait_time = 7
shown = SimpleNamespace(show=False, show_dir='there', wait_time=None, interval=1)
tool['show_results'](cfg, shown)
hook = cfg.default_hooks.visualization
assert (hook.draw, hook.test_out_dir, hook.wait_time) == (True, 'there', 7) and 'show' not in hook

cfg.test_dataloader.dataset.pipeline[-1] = dict(type='PackDetInputs')
tool['augment_tests'](cfg)
pack = cfg.test_dataloader.dataset.pipeline[-1].transforms[-1][0]
assert 'meta_keys' not in pack  # those of the class have the flip already
"""
    subprocess.run([sys.executable, '-c', code], check=True, timeout=120)


def test_no_validate_and_auto_scale_lr(run, tmp_path):
    options = ('--work-dir', tmp_path / 'run', '--cfg-options', *DIGITS['options'])
    log = run(
        'train.py',
        DIGITS['config'],
        '--no-validate',
        '--auto-scale-lr',
        *options,
        'train_cfg.max_epochs=1',
        'auto_scale_lr.base_batch_size=256',
    )
    assert 'Epoch(val)' not in log
    assert 'Scaling the original LR by 0.25' in log


@pytest.mark.parametrize(
    ('args', 'message'),
    (
        (('train.py', DIGITS['config'], '--auto-scale-lr'), 'has no auto_scale_lr.base_batch_size'),
        (('train.py', 'no_such_config.py'), 'no_such_config.py'),
        (('test.py', DIGITS['config'], 'x.pth', '--out', 'x.txt'), '--out must end in .pkl'),
        (('test.py', DIGITS['config'], 'x.pth', '--out-item', 'pred'), '--out-item needs --out'),
    ),
)
def test_bad_options(args, message):
    tool, *rest = args
    command = [sys.executable, str(ROOT / 'tools' / tool), *rest]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode != 0 and message in done.stderr


@pytest.mark.parametrize(
    ('args', 'key'),
    (
        (
            ('train.py', 'configs/dia/dia-resnet18_b128-5e_cifar100-folder.py'),
            'train_dataloader.dataset.data_root',
        ),
        (
            ('test.py', 'configs/dia/faster-rcnn_dia-r50_fpn_1x_coco.py', 'x.pth'),
            'test_dataloader.dataset.data_root',
        ),
    ),
    ids=('train', 'test'),
)
def test_missing_data(tmp_path, args, key):
    tool, *rest = args
    work_dir = tmp_path / 'run'
    options = ('--work-dir', str(work_dir), '--cfg-options', f'{key}=no/such/place')
    command = [sys.executable, str(ROOT / 'tools' / tool), *rest, *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    message = f'{key}: no/such/place does not exist; see docs/datasets.md for the layout'
    assert done.returncode == 1 and done.stderr.splitlines()[-1] == message
    assert 'Traceback' not in done.stderr
    assert not work_dir.exists()  # no runner was built, hence no model
