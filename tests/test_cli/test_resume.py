"""Which runs can be resumed, from what, and in which folder."""

import os
import signal
import sys
import time
from multiprocessing import get_context
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.runner import EpochBasedTrainLoop

from mmdia.checkpoints import load_safely
from mmdia.cli.resume import (
    check_work_dir,
    latest_checkpoint,
    lock_work_dir,
    make_resumable,
    read_resumable,
)
from mmdia.cli.weights import check_weights, load_or_stop
from mmdia.engine import InterruptionHook

FORK = get_context('fork')
COMPLETE = dict(
    meta=dict(epoch=1, iter=2), state_dict={'a': torch.zeros(2)}, optimizer={}, message_hub={}
)


def config(**entries):
    loops = dict(by_epoch=True, max_epochs=2)
    return Config(dict(train_cfg=loops, train_dataloader=dict(persistent_workers=True)) | entries)


def test_dumped_configs_stay_as_they_are():
    cfg = config(custom_hooks=[dict(type='EMAHook')])
    make_resumable(cfg)
    dumped = Config.fromstring(cfg.pretty_text, '.py')
    again = Config.fromstring(cfg.pretty_text, '.py')
    make_resumable(again)
    assert again.to_dict() == dumped.to_dict()
    # Those of earlier versions have collected hooks.
    again.custom_hooks = [*again.custom_hooks, dict(type=InterruptionHook)]
    make_resumable(again)
    assert again.to_dict() == dumped.to_dict()


@pytest.mark.parametrize(
    'hook',
    (
        dict(type='CheckpointHook', interval=2),
        dict(type='mmengine.CheckpointHook', interval=2),
        dict(type=CheckpointHook, interval=2),
    ),
)
def test_checkpoint_hooks_are_durable(hook):
    cfg = config(default_hooks=dict(checkpoint=dict(hook)), custom_hooks=[dict(hook)])
    make_resumable(cfg)
    for found in (cfg.default_hooks.checkpoint, cfg.custom_hooks[0]):
        assert found == dict(type='mmdia.DurableCheckpointHook', interval=2)


def test_checkpoint_hooks_of_others_are_left_alone():
    hooks = dict(checkpoint=None, other=dict(type='their.CheckpointHook'))
    cfg = config(default_hooks=hooks)
    make_resumable(cfg)
    assert cfg.default_hooks == hooks
    cfg = config()
    make_resumable(cfg)  # MMEngine saves by default
    assert cfg.default_hooks.checkpoint == dict(type='mmdia.DurableCheckpointHook', interval=1)


def test_loops_may_be_classes():
    cfg = config(train_cfg=dict(type=EpochBasedTrainLoop, max_epochs=2))
    make_resumable(cfg)
    assert cfg.train_cfg.type == 'mmdia.ResumableTrainLoop'
    assert not cfg.train_dataloader.persistent_workers


@pytest.mark.parametrize(
    'note',
    (b'\xff\xfe\x00e', '/elsewhere/é'.encode('latin-1'), b'a\0b', b'', b'x' * 5000, b'\n'),
    ids=('UTF-16', 'latin-1', 'null', 'empty', 'long', 'blank'),
)
def test_last_checkpoint_that_names_none(note, tmp_path):
    (tmp_path / 'last_checkpoint').write_bytes(note)
    torch.save(COMPLETE, tmp_path / 'epoch_1.pth')
    assert latest_checkpoint(str(tmp_path)) == str(tmp_path / 'epoch_1.pth')


def test_links_to_nothing(tmp_path):
    (tmp_path / 'latest.pth').symlink_to('none.pth')
    torch.save(COMPLETE, tmp_path / 'epoch_1.pth')
    assert latest_checkpoint(str(tmp_path)) == str(tmp_path / 'epoch_1.pth')


def test_copies_come_first(tmp_path):
    for name in ('original', 'copy'):
        (tmp_path / name).mkdir()
        torch.save(COMPLETE, tmp_path / name / 'epoch_1.pth')
    original, copy = (tmp_path / name / 'epoch_1.pth' for name in ('original', 'copy'))
    (tmp_path / 'copy' / 'last_checkpoint').write_text(str(original))
    assert latest_checkpoint(str(tmp_path / 'copy')) == str(copy)


def test_nothing_was_saved_yet(tmp_path):
    (tmp_path / 'epoch_1.pth.mmdia-part').touch()
    assert latest_checkpoint(str(tmp_path)) is None
    assert latest_checkpoint(str(tmp_path / 'none')) is None


@pytest.mark.parametrize(
    ('content', 'problem'),
    (
        (torch.zeros(2), 'holds no state dict, but a Tensor'),
        ([1, 2], 'holds no state dict, but a list'),
        (COMPLETE | dict(meta=None), 'holds weights alone and cannot be resumed'),
        (COMPLETE | dict(meta=dict(epoch=1)), 'holds weights alone and cannot be resumed'),
        (COMPLETE | dict(state_dict=None), 'state_dict must be a dict, got a NoneType'),
        ({0: 1}, 'names of weights must be str, got 0'),
        (
            COMPLETE | dict(state_dict=dict(a=1)),
            "state_dict must hold tensors by their names, got 'a': int",
        ),
        (COMPLETE | dict(ema_state_dict=None), 'ema_state_dict must be a dict, got NoneType'),
        (
            COMPLETE | dict(ema_state_dict={0: torch.zeros(1)}),
            'ema_state_dict must hold tensors by their names, got 0: Tensor',
        ),
        (COMPLETE | dict(meta=dict(epoch='1', iter=2)), "meta.epoch must be an int, got '1'"),
    ),
    ids=(
        'tensor',
        'list',
        'no meta',
        'no iteration',
        'no weights',
        'integer keys',
        'number',
        'no averages',
        'integer keys of averages',
        'text',
    ),
)
def test_what_is_not_a_run_is_not_resumed(content, problem, tmp_path):
    load_safely()  # as the tools do
    torch.save(content, tmp_path / 'x.pth')
    with pytest.raises(SystemExit, match=rf'x\.pth:? {problem}'):
        read_resumable(str(tmp_path / 'x.pth'))


def test_what_cannot_be_read_is_not_resumed(tmp_path):
    load_safely()  # as the tools do
    path = tmp_path / 'x.pth'
    path.write_text('text')
    with pytest.raises(SystemExit, match=r'x\.pth is truncated or not a checkpoint'):
        read_resumable(str(path))
    with pytest.raises(SystemExit, match='Is a directory'):
        read_resumable(str(tmp_path))


def test_averages_have_to_fit_too(tmp_path):
    averages = {'module.a': torch.zeros(3), 'steps': torch.tensor(1)}
    torch.save(COMPLETE | dict(ema_state_dict=averages), tmp_path / 'x.pth')
    weights, averages = read_resumable(str(tmp_path / 'x.pth'))
    model = {'a': torch.zeros(2)}
    check_weights('x.pth', weights, model)
    with pytest.raises(SystemExit, match=r'x\.pth does not fit .*\n  a: shape \(3,\), .* \(2,\)'):
        check_weights('x.pth', averages, model)
    for value in (1, 'a', None, [1.0], {}):
        message = rf'\n  a: of type {type(value).__name__}, the model has shape \(2,\)'
        with pytest.raises(SystemExit, match=message):
            check_weights('x.pth', dict(a=value), model)


@pytest.mark.parametrize('error', (RuntimeError, TypeError, ValueError, OSError))
def test_weights_that_fail_to_load(error):
    def load_checkpoint(filename):
        raise error(f'{filename} is wrong')

    runner = SimpleNamespace(load_checkpoint=load_checkpoint, register_hook=lambda hook: None)
    load_or_stop(runner, strict=False)
    with pytest.raises(SystemExit, match=r'x\.pth is wrong'):
        runner.load_checkpoint('x.pth')


def hold(work_dir, held):
    with lock_work_dir(work_dir):
        # Children of a killed process live on for a while.
        FORK.Process(target=time.sleep, args=(2,)).start()
        held.set()
        signal.pause()


def test_one_training_a_work_dir(tmp_path):
    held = FORK.Event()
    holder = FORK.Process(target=hold, args=(str(tmp_path), held))
    holder.start()
    assert held.wait(10)
    for _ in range(2):
        with pytest.raises(
            SystemExit, match=f'in use by another training .process {holder.pid} on'
        ):
            with lock_work_dir(str(tmp_path)):
                pass
    holder.kill()
    holder.join()
    for _ in range(2):
        with lock_work_dir(str(tmp_path)):
            pass


def check_often(work_dir):
    for _ in range(500):
        check_work_dir(work_dir)


def test_many_processes_check_one_work_dir(tmp_path):
    processes = [FORK.Process(target=check_often, args=(str(tmp_path / 'run'),)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert not os.listdir(tmp_path / 'run')


def test_file_as_work_dir(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(SystemExit, match=r'work dir .*file cannot be written: .*exists'):
        check_work_dir(str(tmp_path / 'file'))
    assert latest_checkpoint(str(tmp_path / 'file')) is None


def test_lock_that_cannot_be_opened(tmp_path):
    (tmp_path / '.lock').mkdir()
    with pytest.raises(SystemExit, match=r'work dir .* cannot be locked: .*Is a directory'):
        with lock_work_dir(str(tmp_path)):
            pass


def test_systems_without_locks(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'fcntl', None)
    with lock_work_dir(str(tmp_path)):
        assert (tmp_path / '.lock').is_file()
