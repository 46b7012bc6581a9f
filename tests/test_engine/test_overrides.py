"""Every line of docs/running.md, run on small data."""

import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.hooks import EMAHook
from mmengine.model import convert_sync_batchnorm, revert_sync_batchnorm
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from torch.distributed.elastic.utils.distributed import get_free_port
from torch.nn import SyncBatchNorm
from torch.nn.parallel import DistributedDataParallel

from mmdia.cli import command_line, precision
from mmdia.engine import AttentionHook
from mmdia.models.utils.eager import CAN_COMPILE
from mmdia.registry import MODELS

from ..helpers import INTERACTIONS, SLIM, needs_compiler, randomize, slim_resnet

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / 'docs' / 'running.md').read_text(encoding='utf-8')
LINES = {
    what: shlex.split(line)
    for what, line in re.findall(r'^\| ([^|]+) \| `([^`]+)` \|', PAGE, re.MULTILINE)
}
CONFIGS = re.findall(r'^```python\n(.*?)^```$', PAGE, re.MULTILINE | re.DOTALL)
# Compilers of code would take minutes.
EXTRA = {
    'Compiled backbone': [
        '--cfg-options',
        'default_hooks.compile.backend=eager',
        'default_hooks.compile.dynamic=True',
    ]
}
# Each trains for 4 iterations.
DIGITS = (
    str(ROOT / 'configs' / 'demo' / 'dia-resnet18_digits.py'),
    'model.backbone.base_channels=8',
    'model.backbone.stem_channels=8',
    'model.head.in_channels=64',
    'train_dataloader.dataset.indices=16',
    'train_dataloader.batch_size=4',
    'val_dataloader.dataset.indices=8',
    'test_dataloader.dataset.indices=8',
)
SHAPES = (
    str(ROOT / 'configs' / 'demo' / 'faster-rcnn_dia-r18_fpn_shapes.py'),
    'train_dataloader.dataset.num_images=8',
    'train_dataloader.batch_size=2',
)

GPUS = torch.cuda.device_count()


@pytest.fixture
def run(quick_runs, tmp_path, monkeypatch):
    """Runs a tool in this process; returns its runner."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setenv('LOCAL_RANK', '0')
    # It would outlast the test.
    monkeypatch.setattr(command_line, 'protect', lambda args: None, raising=False)
    runners = []
    build = command_line.build_runner

    def keep(cfg):
        runners.append(build(cfg))
        return runners[-1]

    monkeypatch.setattr(command_line, 'build_runner', keep)

    def run_tool(task, *options, tool='train.py', checkpoint=(), work_dir='run'):
        config, *small = task
        small = ['--cfg-options', *small, 'train_cfg.max_epochs=1', 'randomness.seed=0']
        words = [tool, config, *checkpoint, '--work-dir', tmp_path / work_dir, *small, *options]
        monkeypatch.setattr(sys, 'argv', list(map(str, words)))
        runpy.run_path(str(ROOT / 'tools' / tool), run_name='__main__')
        return runners[-1]

    return run_tool


def load(path):
    return torch.load(path, weights_only=False, map_location='cpu')


def synchronized(model):
    """Whether each norm of a model is synchronized."""
    return {isinstance(m, SyncBatchNorm) for m in model.modules() if isinstance(m, _BatchNorm)}


def check_accumulation(runner):
    steps = {int(state['step']) for state in runner.optim_wrapper.optimizer.state.values()}
    assert (runner.iter, steps) == (4, {1})


def averaged(runner):
    (hook,) = (hook for hook in runner.hooks if isinstance(hook, EMAHook))
    return hook.ema_model


def check_average(runner):
    assert averaged(runner).steps == 4 and averaged(runner).momentum == 0.0002


def check_mixed_precision(runner):
    check_dtype(runner, 'float16' if GPUS else 'bfloat16')


def check_bfloat16(runner):
    check_dtype(runner, 'bfloat16')


def autocast_dtype():
    if hasattr(torch, 'get_autocast_dtype'):
        return torch.get_autocast_dtype('cuda' if GPUS else 'cpu')
    return torch.get_autocast_gpu_dtype() if GPUS else torch.get_autocast_cpu_dtype()


def check_dtype(runner, dtype):
    wrapper = runner.optim_wrapper
    assert type(wrapper).__name__ == ('AmpOptimWrapper' if GPUS else 'BFloat16OptimWrapper')
    with wrapper.optim_context(runner.model):
        assert autocast_dtype() == getattr(torch, dtype)
    assert runner.val_loop is None or runner.val_loop.fp16
    assert all(p.dtype == torch.float32 for p in runner.model.parameters())
    assert all(torch.isfinite(p).all() for p in runner.model.parameters())


def check_channels_last(runner):
    weights = [p for p in runner.model.parameters() if p.dim() == 4 and min(p.shape[1:]) > 1]
    assert weights and all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)


def check_synchronized(runner):
    # Two processes with a GPU each are below.
    assert runner.cfg.sync_bn == 'torch' and synchronized(runner.model) == {False}


def check_synchronized_backbone(runner):
    backbone = runner.model.backbone
    assert synchronized(MODELS.build(runner.cfg.model.backbone)) == {True}
    assert synchronized(backbone) == {False} and not backbone.norm_eval
    counts = [v for name, v in backbone.named_buffers() if name.endswith('num_batches_tracked')]
    assert counts == [4] * len(counts)


def check_compiled(runner):
    assert runner.model.backbone._compiled_call_impl is not None
    names = MODELS.build(runner.cfg.model).state_dict().keys()
    assert load(Path(runner.work_dir, 'epoch_1.pth'))['state_dict'].keys() == names


def check_attention(runner):
    assert any(isinstance(hook, AttentionHook) for hook in runner.hooks)


EFFECTS = {
    'Gradient accumulation': check_accumulation,
    'Moving average of the weights': check_average,
    'Mixed precision': check_mixed_precision,
    'Mixed precision, bfloat16': check_bfloat16,
    'Channels innermost in memory': check_channels_last,
    'Synchronized norms': check_synchronized,
    'Synchronized norms of the backbone': check_synchronized_backbone,
    'Compiled backbone': check_compiled,
    'Gates while they train': check_attention,
}


def test_every_line_has_an_effect():
    assert list(LINES) == list(EFFECTS)


@pytest.fixture(autouse=True)
def same_autocast_dtype():
    # The tools set it for their process.
    if not GPUS:
        yield
        return
    before = torch.get_autocast_gpu_dtype()
    yield
    torch.set_autocast_gpu_dtype(before)


@pytest.mark.parametrize(
    'what',
    [
        pytest.param(what, marks=[needs_compiler] if what == 'Compiled backbone' else [])
        for what in LINES
    ],
)
def test_line(what, run):
    EFFECTS[what](run(DIGITS, *LINES[what], *EXTRA.get(what, ())))


@pytest.mark.skipif(not GPUS, reason='float16 needs a GPU')
def test_float16_detector(run):
    check_mixed_precision(run(SHAPES, *LINES['Mixed precision'], '--no-validate'))


@pytest.mark.parametrize(
    ('device', 'dtype', 'message'),
    (
        ('cpu', 'float16', 'optim_wrapper.dtype must be bfloat16 on a CPU, got float16'),
        ('mps', 'bfloat16', 'needs a CPU, or a GPU other than mps'),
    ),
)
def test_mixed_precision_that_a_device_lacks(device, dtype, message, monkeypatch):
    monkeypatch.setattr(precision, 'get_device', lambda: device)
    cfg = Config(dict(optim_wrapper=dict(type='OptimWrapper', dtype=dtype), val_cfg={}))
    with pytest.raises(SystemExit, match=f'--amp: {message}'):
        precision.train_in_amp(cfg)
    assert cfg.optim_wrapper.type == 'OptimWrapper' and cfg.val_cfg == {}


def test_lines_go_together_in_a_detector(run):
    # Mixed precision is with bfloat16 then; old PyTorch cannot compile.
    left_out = {'Mixed precision'} if CAN_COMPILE else {'Mixed precision', 'Compiled backbone'}
    together = [what for what in LINES if what not in left_out]
    options = [word for what in together for word in (*LINES[what], *EXTRA.get(what, ()))]
    runner = run(SHAPES, *options, '--no-validate')
    for what in together:
        EFFECTS[what](runner)


@pytest.mark.skipif(GPUS < 2, reason='norms are synchronized among GPUs')
def test_synchronized_norms_of_two_gpus(tmp_path):
    config, *small = DIGITS
    small = ['--cfg-options', *small, 'train_cfg.max_epochs=1']
    line = [*LINES['Synchronized norms'], *LINES['Synchronized norms of the backbone']]
    subprocess.run(
        [ROOT / 'tools' / 'dist_train.sh', config, '2', '--work-dir', tmp_path, *small, *line],
        env=dict(os.environ, PORT=str(get_free_port()), PYTHON=sys.executable),
        check=True,
        timeout=300,
    )
    assert (tmp_path / 'epoch_1.pth').is_file()


def test_processes_without_gpus_refuse_synchronized_norms():
    model = convert_sync_batchnorm(slim_resnet('mmdia.DIALSTM'), 'torch')
    dist.init_process_group('gloo', store=dist.HashStore(), rank=0, world_size=1)
    try:
        with pytest.raises(ValueError, match='only work with GPU modules'):
            DistributedDataParallel(model)
    finally:
        dist.destroy_process_group()


def test_evaluation_takes_the_same_lines(run, tmp_path):
    options = [
        *LINES['Moving average of the weights'],
        *LINES['Synchronized norms of the backbone'],
    ]
    run(DIGITS, *options)
    checkpoint = tmp_path / 'run' / 'epoch_1.pth'
    runner = run(
        DIGITS, *options, '--amp', '--channels-last', tool='test.py', checkpoint=[checkpoint]
    )
    assert runner.test_loop.fp16
    check_channels_last(runner)
    evaluated = averaged(runner).module.state_dict()
    saved = load(checkpoint)['state_dict']
    assert saved.keys() == evaluated.keys()
    assert all(torch.equal(saved[name], evaluated[name]) for name in saved)


def test_configs_of_the_page(tmp_path, monkeypatch):
    together, precise, appended = CONFIGS
    (tmp_path / 'config.py').write_text(together)
    cfg = Config.fromfile(tmp_path / 'config.py')
    assert cfg.optim_wrapper.accumulative_counts == 4 and cfg.optim_wrapper.optimizer.type == 'SGD'
    hooks = {name: hook.type for name, hook in cfg.default_hooks.items()}
    assert (hooks['ema'], hooks['compile']) == ('EMAHook', 'mmdia.CompileBackboneHook')
    assert hooks['logger'] == 'LoggerHook'

    (tmp_path / 'config.py').write_text(precise)
    by_config = Config.fromfile(tmp_path / 'config.py')
    (tmp_path / 'config.py').write_text(precise.split('\n\n')[0])
    by_options = Config.fromfile(tmp_path / 'config.py')
    command_line.add_hook(by_options, 'channels_last', 'mmdia.ChannelsLastHook')
    monkeypatch.setattr(precision, 'get_device', lambda: 'cpu')
    precision.train_in_amp(by_options)
    precision.evaluate_in_amp(by_options, 'test_cfg')
    assert by_config.to_dict() == by_options.to_dict()

    (tmp_path / 'base.py').write_text("custom_hooks = [dict(type='SyncBuffersHook')]")
    (tmp_path / 'config.py').write_text(f"_base_ = 'base.py'\n{appended}")
    hooks = Config.fromfile(tmp_path / 'config.py').custom_hooks
    assert [hook.type for hook in hooks] == ['SyncBuffersHook', 'EMAHook']


def test_moving_average_is_one_and_resumes(run, tmp_path):
    options = [*LINES['Moving average of the weights'], '--no-validate', '--cfg-options']
    options += ['default_hooks.ema.momentum=0.001', 'model.backbone.identity_init=True']
    # Epochs of one batch.
    options += ['train_dataloader.batch_size=16', 'default_hooks.checkpoint.max_keep_ckpts=-1']
    two = 'train_cfg.max_epochs=2'
    runner = run(DIGITS, *options, two, work_dir='whole')
    run(DIGITS, *options, work_dir='parts')
    run(DIGITS, *options, two, '--resume', work_dir='parts')
    first, last, resumed = (
        load(tmp_path / path)
        for path in ('whole/epoch_1.pth', 'whole/epoch_2.pth', 'parts/epoch_2.pth')
    )
    parameters = dict(runner.model.named_parameters())
    for name, average in last['state_dict'].items():
        torch.testing.assert_close(average, resumed['state_dict'][name])
        # The weights that learn are saved as those of the average.
        old, new = (saved['ema_state_dict'][f'module.{name}'] for saved in (first, last))
        expected = torch.lerp(old, new, 0.001) if name in parameters else new
        torch.testing.assert_close(average, expected)
    scales = [v for k, v in last['state_dict'].items() if k.endswith('gate_scale')]
    assert len(scales) == 4 and all(scale > 1 for scale in scales)


def twin(interaction, kind):
    """A network with norms of a kind, which starts as all others do."""
    torch.manual_seed(0)
    cfg = dict(type=interaction, identity_init=True) | SLIM.get(interaction, {})
    model = MODELS.build(
        dict(
            type='mmdia.ResNet',
            depth=18,
            interaction=cfg,
            base_channels=8,
            norm_cfg=dict(type='BN' if kind in ('BN', 'converted') else 'SyncBN'),
            with_cp=True,
            frozen_stages=1,
            norm_eval=True,
            zero_init_residual=True,
        )
    )
    # MMEngine converts and reverts before it initializes.
    if kind == 'converted':
        model = convert_sync_batchnorm(model, 'torch')
    elif kind == 'reverted':
        model = revert_sync_batchnorm(model)
    model.init_weights()
    assert synchronized(model) == {kind in ('built', 'converted')}
    return model


@pytest.mark.parametrize('interaction', INTERACTIONS)
def test_synchronized_norms_are_treated_as_others(interaction):
    # Outputs of plain batch norms carry their source, those of synchronized ones do not.
    tolerance = dict(rtol=1e-10, atol=1e-12)
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    expected = twin(interaction, 'BN').double()
    start = {name: value.clone() for name, value in expected.state_dict().items()}
    randomize(expected).train()
    other_start = {name: value.clone() for name, value in expected.state_dict().items()}
    expected(x)[0].square().mean().backward()
    for kind in ('built', 'converted', 'reverted'):
        model = twin(interaction, kind).double()
        state = model.state_dict()
        assert state.keys() == start.keys()
        assert all(torch.equal(state[name], start[name]) for name in start)

        model.load_state_dict(other_start)
        model.train()
        training = {name for name, m in model.named_modules() if m.training}
        assert training == {name for name, m in expected.named_modules() if m.training}
        model(x)[0].square().mean().backward()
        for p, q in zip(model.parameters(), expected.parameters(), strict=True):
            assert p.requires_grad == q.requires_grad
            assert (p.grad is None) == (q.grad is None)
            if p.grad is not None:
                torch.testing.assert_close(p.grad, q.grad, **tolerance)
        for p, q in zip(model.buffers(), expected.buffers(), strict=True):
            torch.testing.assert_close(p, q, **tolerance)
        with torch.no_grad():
            torch.testing.assert_close(model.eval()(x)[0], expected.eval()(x)[0], **tolerance)
        expected.train()
