"""The tools, for both libraries. As processes of their own they run in test_distributed.py."""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import mmengine
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

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


@pytest.mark.parametrize('task', (DIGITS, SHAPES), ids=('classification', 'detection'))
def test_train_resume_and_test(run_tool, tmp_path, monkeypatch, task):
    monkeypatch.chdir(ROOT)
    work_dir = tmp_path / 'run'
    options = ('--work-dir', work_dir, '--cfg-options', *task['options'])

    run_tool('train.py', task['config'], *options, 'train_cfg.max_epochs=1')
    checkpoint = Path((work_dir / 'last_checkpoint').read_text())
    assert checkpoint == work_dir / 'epoch_1.pth' and checkpoint.is_file()

    log = run_tool('train.py', task['config'], '--resume', *options, 'train_cfg.max_epochs=2')
    assert f'Load checkpoint from {checkpoint}' in log and 'resumed epoch: 1' in log
    assert not checkpoint.exists()
    checkpoint = work_dir / 'epoch_2.pth'

    shown, out = tmp_path / 'shown', tmp_path / 'metrics.json'
    args = (task['config'], checkpoint, '--show-dir', shown, '--out', out, '--out-item', 'metrics')
    run_tool('test.py', *args, *options)
    metrics = json.loads(out.read_text())
    assert task['metric'] in metrics
    count = 32 if task is DIGITS else 4
    assert len(list(tmp_path.rglob('shown/**/*.*g'))) == count

    out = tmp_path / 'predictions.pkl'
    run_tool('test.py', task['config'], checkpoint, '--out', out, '--tta', *options)
    assert len(mmengine.load(out)) == count


def test_options_change_only_what_they_name():
    tool = runpy.run_path(str(ROOT / 'tools' / 'test.py'))
    cfg = Config.fromfile(ROOT / SHAPES['config'])
    init_default_scope(cfg.default_scope)
    cfg.default_hooks.visualization.wait_time = 7
    shown = SimpleNamespace(show=False, show_dir='there', wait_time=None, interval=1)
    tool['show_results'](cfg, shown)
    hook = cfg.default_hooks.visualization
    assert (hook.draw, hook.test_out_dir, hook.wait_time) == (True, 'there', 7)
    assert 'show' not in hook

    cfg.test_dataloader.dataset.pipeline[-1] = dict(type='PackDetInputs')
    tool['augment_tests'](cfg)
    pack = cfg.test_dataloader.dataset.pipeline[-1].transforms[-1][0]
    assert 'meta_keys' not in pack  # those of the class have the flip already


def test_no_validate_and_auto_scale_lr(run_tool, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    options = ('--work-dir', tmp_path / 'run', '--cfg-options', *DIGITS['options'])
    log = run_tool(
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


def test_no_base_batch_size(run_tool, tmp_path):
    with pytest.raises(SystemExit, match=r'has no auto_scale_lr\.base_batch_size'):
        run_tool(
            'train.py', ROOT / DIGITS['config'], '--work-dir', tmp_path / 'run', '--auto-scale-lr'
        )
    assert not list(tmp_path.rglob('*.pth'))


SLIM = f"""
_base_ = {str(ROOT / DIGITS['config'])!r}
model = dict(
    backbone=dict(base_channels=8, stem_channels=8), head=dict(in_channels=64, num_classes=10)
)
data = dict(dataset=dict(indices=16), batch_size=8)
train_dataloader = val_dataloader = test_dataloader = data
work_dir = 'run'
"""


@pytest.fixture
def test_py(run_tool, tmp_path, monkeypatch):
    """Runs tools/test.py on a slim network; its weights are in good.pth."""
    monkeypatch.chdir(tmp_path)
    Path('slim.py').write_text(SLIM)
    cfg = Config.fromfile('slim.py')
    init_default_scope(cfg.default_scope)
    meta = dict(dataset_meta=dict(classes=[str(i) for i in range(10)]))
    torch.save(dict(meta=meta, state_dict=MODELS.build(cfg.model).state_dict()), 'good.pth')

    def run(*args, config='slim.py', checkpoint='good.pth'):
        run_tool('test.py', config, checkpoint, *args)

    return run


def head_of(classes):
    return {
        'head.fc.weight': torch.zeros(classes, 64),
        'head.fc.bias': torch.zeros(classes),
    }


GOOD = {
    'as saved': lambda c: c,
    'weights alone': lambda c: c['state_dict'],
    'meta of nothing': lambda c: dict(c, meta=None),
    'of a wrapped model': lambda c: dict(
        state_dict={f'module.{key}': value for key, value in c['state_dict'].items()}
    ),
    'of old norms': lambda c: dict(
        state_dict={
            k: v for k, v in c['state_dict'].items() if not k.endswith('num_batches_tracked')
        }
    ),
}


@pytest.mark.parametrize('kind', GOOD)
def test_weights_that_fit(test_py, kind):
    torch.save(GOOD[kind](torch.load('good.pth')), 'good.pth')
    test_py('--out', 'metrics.json', '--out-item', 'metrics', *(['--tta'] * (kind != 'as saved')))
    assert 'accuracy/top1' in json.loads(Path('metrics.json').read_text())


@pytest.mark.parametrize('hook', ('mmengine.EMAHook', 'mmpretrain.EMAHook'))
@pytest.mark.parametrize('tta', ([], ['--tta']))
def test_averages_are_tested(test_py, hook, tta):
    """The weights of a checkpoint are the averages, and those of a training in their place."""
    Path('ema.py').write_text(f"_base_ = 'slim.py'\ncustom_hooks = [dict(type='{hook}')]\n")
    test_py(*tta, '--out', 'plain.pkl')
    saved = torch.load('good.pth')
    trained = {
        f'module.{key}': x if 'running' in key else torch.ones_like(x)
        for key, x in saved['state_dict'].items()
    }
    torch.save(saved | dict(ema_state_dict=trained | dict(steps=torch.tensor(1))), 'good.pth')
    test_py(*tta, '--out', 'averages.pkl', config='ema.py')
    plain, averages = (
        [s['pred_score'] for s in mmengine.load(f'{name}.pkl')] for name in ('plain', 'averages')
    )
    torch.testing.assert_close(averages, plain)
    wrong = [dict(state_dict=head_of(10))]
    if hook.startswith('mmpretrain'):  # MMEngine's does not look for them in a test
        del trained['module.head.fc.bias']
        wrong.append(saved | dict(ema_state_dict=trained))
    for checkpoint in wrong:
        torch.save(checkpoint, 'good.pth')
        with pytest.raises(SystemExit, match='does not fit the config'):
            test_py(*tta, config='ema.py')


WRONG = {
    'no weights': (lambda c: dict(state_dict={}), 'holds no weights'),
    'weights of no tensors': (lambda c: dict(state_dict=dict(a=1)), 'holds no weights'),
    'a list': (lambda c: [c], 'holds no state dict, but a list'),
    'other classes': (
        lambda c: dict(c, state_dict=c['state_dict'] | head_of(3)),
        'head.fc.weight',
    ),
    'a plain network': (
        lambda c: {k: v for k, v in c['state_dict'].items() if 'interaction' not in k},
        'missing keys in source state_dict: backbone.*interaction',
    ),
    'more than the model': (
        lambda c: dict(c['state_dict'], more=torch.zeros(1)),
        'unexpected key in source state_dict: more',
    ),
    'a number as weight': (
        lambda c: dict(state_dict=dict(c['state_dict'], **{'head.fc.bias': 1})),
        'head.fc.bias',
    ),
    'classes of other names': (
        lambda c: dict(c, meta=dict(dataset_meta=dict(classes=('a', 'b')))),
        'compared with the checkpoint',
    ),
}


@pytest.mark.parametrize(
    ('kind', 'tta'), [*((kind, False) for kind in WRONG), ('other classes', True)]
)
def test_weights_that_do_not_fit(test_py, kind, tta):
    spoil, message = WRONG[kind]
    torch.save(spoil(torch.load('good.pth')), 'wrong.pth')
    with pytest.raises(SystemExit, match=message) as error:
        test_py(*(['--tta'] * tta), checkpoint='wrong.pth')
    assert len(str(error.value).splitlines()) < 10
    if 'classes of' not in kind:
        assert 'checkpoint wrong.pth' in str(error.value)


def test_files_that_hold_no_checkpoint(test_py):
    content = Path('good.pth').read_bytes()
    Path('short.pth').write_bytes(content[: len(content) // 2])
    for name in ('short', 'none'):
        with pytest.raises(SystemExit, match=f'{name}.pth'):
            test_py(checkpoint=f'{name}.pth')


def test_a_checkpoint_is_read_once(test_py, monkeypatch):
    read = []
    load = torch.load
    monkeypatch.setattr(
        torch, 'load', lambda *args, **kwargs: read.append(1) or load(*args, **kwargs)
    )
    test_py()
    assert len(read) == 1


def test_results_that_cannot_be_written(test_py):
    Path('file').touch()
    Path('folder.pkl').mkdir()
    for out in ('file/out.pkl', 'folder.pkl', '/proc/out.pkl'):
        with pytest.raises(SystemExit, match=f'--out {out} cannot be written: '):
            test_py('--out', out, checkpoint='none.pth')  # before anything is read
    with pytest.raises(SystemExit, match='work dir file cannot be written'):
        test_py('--work-dir', 'file')
    with pytest.raises(SystemExit, match=r'none\.pth'):
        test_py('--out', 'new/out.pkl', checkpoint='none.pth')
    assert not list(Path('new').iterdir())
    with pytest.raises(SystemExit, match=r'none\.pth'):
        test_py('--out', 's3://bucket/out.pkl', checkpoint='none.pth')
    assert not Path('s3:').exists()


BAD_VALUES = {
    '--interval 0': '--interval must be at least 1',
    '--interval -2': '--interval must be at least 1',
    '--wait-time -1': '--wait-time must be at least 0',
    '--wait-time nan': '--wait-time must be at least 0',
    '--out x.txt': '--out must end in .pkl',
    '--out x.json': '--out must end in .pkl',
    '--out x.txt --out-item metrics': '--out must end in .pkl or .pickle or .json',
    '--out-item pred': '--out-item needs --out',
    '--show-dir slim.py': '--show-dir slim.py is not a folder',
}


@pytest.mark.parametrize('options', BAD_VALUES)
def test_senseless_values(test_py, capsys, options):
    with pytest.raises(SystemExit, match='2'):
        test_py(*options.split())
    assert BAD_VALUES[options] in capsys.readouterr().err


def test_windows_need_a_display(test_py, capsys, monkeypatch):
    """Without one, MMEngine would wait for a key for ever."""
    plt.switch_backend('agg')
    with pytest.raises(SystemExit, match='2'):
        test_py('--show', checkpoint='none.pth')
    assert '--show needs a display' in capsys.readouterr().err
    monkeypatch.setattr(FigureCanvasAgg, 'required_interactive_framework', 'tk')
    with pytest.raises(SystemExit, match=r'none\.pth'):
        test_py('--show', checkpoint='none.pth')


@pytest.mark.parametrize('entry', ('model', 'test_dataloader', 'test_cfg', 'test_evaluator'))
def test_configs_without_a_test(test_py, entry):
    Path('less.py').write_text(f"_base_ = 'slim.py'\n{entry} = None\n")
    with pytest.raises(SystemExit, match=f'config less.py has no {entry}'):
        test_py(config='less.py')


def test_show_dir_without_hooks(test_py):
    for entry in ('default_hooks', 'default_hooks.visualization'):
        with pytest.raises(SystemExit, match=r'has no default_hooks\.visualization'):
            test_py('--show-dir', 'shown', '--cfg-options', f'{entry}=None')


def test_augmented_tests_of_several_datasets(test_py):
    Path('both.py').write_text("""
_base_ = 'slim.py'
data = _base_.test_dataloader.dataset
both = dict(_delete_=True, type='ConcatDataset', datasets=[data] * 2)
test_dataloader = dict(dataset=both)
tta_model = tta_pipeline = None
""")
    test_py('--tta', '--out', 'out.pkl', config='both.py')
    assert len(mmengine.load('out.pkl')) == 2 * 16
    Path('none.py').write_text("""
_base_ = 'both.py'
test_dataloader = dict(dataset=dict(datasets=[dict(type='mmdia.DigitsDataset')]))
""")
    with pytest.raises(SystemExit, match=r'--tta: .*dataset\.datasets\.0 has no pipeline'):
        test_py('--tta', config='none.py')


@pytest.mark.parametrize('entry', ('model', 'train_dataloader', 'optim_wrapper', 'train_cfg'))
def test_configs_without_a_training(run_tool, tmp_path, entry):
    options = ('--auto-scale-lr', '--work-dir', tmp_path / 'run', '--cfg-options')
    with pytest.raises(SystemExit, match=f'digits.py has no {entry}, and cannot be trained'):
        run_tool('train.py', ROOT / DIGITS['config'], *options, f'{entry}=None')
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('hooks', (None, {}, dict(checkpoint=None), dict(checkpoint=dict(a=1))))
def test_no_validation_where_nothing_is_saved(hooks):
    tool = runpy.run_path(str(ROOT / 'tools' / 'train.py'))
    cfg = Config(dict(default_hooks=hooks, val_cfg=dict()))
    tool['apply_options'](cfg, SimpleNamespace(no_validate=True, amp=False, auto_scale_lr=False))
    assert cfg.val_cfg is None and cfg.default_hooks == hooks
