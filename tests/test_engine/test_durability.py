"""What a killed run leaves behind, and what it does when it is resumed."""

import os
import shutil
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import EarlyStoppingHook

from mmdia.cli.work_dir import is_intact, latest_checkpoint
from mmdia.engine import DurableCheckpointHook
from mmdia.engine.files import BACKEND, DurableBackend, remove_parts, replace_file

from ..toy_training import ToyTraining


class KilledError(BaseException):
    """No code expects it, as none expects SIGKILL."""


def weights(training):
    path = training.work_dir / ('epoch_3.pth' if training.by_epoch else 'iter_9.pth')
    content = torch.load(path, weights_only=False)
    state = {**content['state_dict'], **content['ema_state_dict']}
    return {name: value.tolist() for name, value in state.items()}


CHANGES = dict(fsync=lambda file: None, replace=os.replace, remove=os.remove)


@pytest.fixture(autouse=True)
def kill_at(monkeypatch):
    """Makes the n-th change of a folder fail, or half of a write; gives a list of all of them."""

    def patch(moment=None):
        moments = []

        def act(name, *args):
            moments.append(name)
            if len(moments) - 1 == moment:
                raise KilledError
            return CHANGES[name](*args)

        for name in CHANGES:
            monkeypatch.setattr(os, name, partial(act, name))
        return moments

    patch()
    return patch


@pytest.mark.parametrize('by_epoch', (True, False), ids=('epochs', 'iterations'))
def test_killed_at_any_change_of_the_folder(by_epoch, tmp_path, kill_at):
    moments = kill_at()
    whole = ToyTraining(tmp_path / 'whole', by_epoch, max_keep_ckpts=1)
    whole.run()
    total, expected = len(moments), weights(whole)
    assert total > 20 and whole.validated == [1, 2, 3]
    for moment in range(0, total, 5):
        training = ToyTraining(tmp_path / str(moment), by_epoch, max_keep_ckpts=1)
        kill_at(moment)
        with pytest.raises(KilledError):
            training.run()
        assert all(is_intact(training.work_dir / name) for name in training.files())
        # The first is complete when it has its name, in the second change.
        assert moment < 2 or latest_checkpoint(str(training.work_dir)) is not None
        kill_at()
        training.run()
        assert weights(training) == expected
        assert training.files() == whole.files()
        assert not list(training.work_dir.glob('*.mmdia-part'))


@pytest.mark.parametrize('by_epoch', (True, False), ids=('epochs', 'iterations'))
@pytest.mark.parametrize('third', (1, 2, 3))
def test_killed_in_a_validation(third, by_epoch, tmp_path, monkeypatch):
    """The resumed run validates again, whatever comes after, and finds the same best."""
    training = ToyTraining(tmp_path, by_epoch)
    validate = training.validate

    def killed():
        score = validate()
        if training.validated[-1] == third:
            raise KilledError
        return score

    monkeypatch.setattr(training, 'validate', killed)
    with pytest.raises(KilledError):
        training.run()
    training.validated.clear()
    monkeypatch.setattr(training, 'validate', validate)
    training.run()
    assert training.validated == list(range(third, 4))
    best = 'best_accuracy_epoch_2.pth' if by_epoch else 'best_accuracy_iter_6.pth'
    assert best in training.files() and len(training.files()) == 4


@pytest.mark.parametrize('by_epoch', (True, False), ids=('epochs', 'iterations'))
def test_validation_is_not_repeated(by_epoch, tmp_path):
    """The second is the best, and its checkpoint is saved anew behind the validation."""
    training = ToyTraining(tmp_path, by_epoch)
    training.run()
    last = tmp_path / ('epoch_3.pth' if by_epoch else 'iter_9.pth')
    last.unlink()
    training.validated.clear()
    training.run()
    assert training.validated == [3] and last.is_file()


@pytest.mark.parametrize('keep', (1, 2, 3))
def test_number_of_checkpoints(keep, tmp_path):
    training = ToyTraining(tmp_path, max_keep_ckpts=keep)
    training.run()
    kept = [f'epoch_{epoch}.pth' for epoch in range(4 - keep, 4)]
    assert training.files() == ['best_accuracy_epoch_2.pth', *kept]
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'epoch_3.pth')


@pytest.mark.parametrize('by_epoch', (True, False), ids=('epochs', 'iterations'))
@pytest.mark.parametrize('iteration', (2, 7, None))
def test_early_stopping_counts_on(by_epoch, iteration, tmp_path):
    """The first of three validations has the least value."""
    training = ToyTraining(tmp_path, by_epoch)
    training.hooks = [
        dict(type='EarlyStoppingHook', monitor='accuracy', rule='less', priority='LOW')
    ]
    training.interrupt_at(iteration)
    if iteration:
        with pytest.raises(SystemExit):
            training.run()
    else:  # from the checkpoint behind the second
        training.run()
        (tmp_path / ('epoch_3.pth' if by_epoch else 'iter_9.pth')).unlink()
    training.run()
    (hook,) = [hook for hook in training.runner.hooks if isinstance(hook, EarlyStoppingHook)]
    assert (hook.best_score, hook.wait_count) == (0.0, 2)


def test_second_interruption_keeps_the_first(tmp_path, kill_at):
    """Until its own checkpoint is complete."""
    training = ToyTraining(tmp_path)
    training.interrupt_at(1)
    with pytest.raises(SystemExit, match='143'):
        training.run()
    assert training.files() == ['interrupted.pth']
    training.interrupt_at(2)
    kill_at(0)
    with pytest.raises(KilledError):
        training.run()
    kill_at()
    assert latest_checkpoint(str(tmp_path)) == str(tmp_path / 'interrupted.pth')
    training.run()
    assert training.validated == [1, 2, 3]


def test_parts_of_others_are_left_alone(tmp_path):
    (tmp_path / 'download.part').touch()
    (tmp_path / 'folder.mmdia-part').mkdir()
    (tmp_path / 'epoch_1.pth.mmdia-part').touch()
    remove_parts(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ['download.part', 'folder.mmdia-part']


def test_a_full_disk_keeps_the_old_file(tmp_path, monkeypatch):
    """The disk that counts is that of the checkpoints, which may not be that of the work dir."""
    rooms = {tmp_path / 'work': 2**30, tmp_path / 'scratch' / 'run': 7 * 2**20}
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: SimpleNamespace(free=rooms[path]))
    backend = DurableBackend()
    for folder in rooms:
        backend.put(bytes(7 * 2**20), folder / 'a.pth')
    backend.put(bytes(8 * 2**20), tmp_path / 'work' / 'a.pth')
    with pytest.raises(OSError, match=r'for .*scratch/run/a\.pth: it needs 8 MiB, 7 MiB are free'):
        backend.put(bytes(8 * 2**20), tmp_path / 'scratch' / 'run' / 'a.pth')
    assert [len(path.read_bytes()) >> 20 for path in sorted(tmp_path.rglob('*.*'))] == [7, 8]


def test_files_of_systems_that_open_no_folders(tmp_path, monkeypatch):
    def refuse(*args):
        raise PermissionError

    monkeypatch.setattr(os, 'open', refuse)
    replace_file(tmp_path / 'file', b'content')
    assert (tmp_path / 'file').read_bytes() == b'content'


@pytest.mark.parametrize(
    'arguments',
    (
        dict(),
        dict(backend_args=dict(backend='local')),
        dict(file_client_args=dict(backend='disk')),
        dict(out_dir='there'),
    ),
)
def test_local_files_are_durable(arguments):
    hook = DurableCheckpointHook(**arguments)
    assert hook.backend_args == dict(backend=BACKEND) and hook.file_client_args is None


@pytest.mark.parametrize(
    'arguments',
    (
        dict(backend_args=dict(backend='petrel')),
        dict(file_client_args=dict(prefix='s3')),
        dict(out_dir='s3://there'),
        dict(out_dir='s3://there', backend_args=dict(backend='local')),
    ),
)
def test_remote_files_are_left_to_mmengine(arguments):
    hook = DurableCheckpointHook(**arguments)
    assert hook.backend_args == arguments.get('backend_args')
    assert hook.file_client_args == arguments.get('file_client_args')


def test_copy_leaves_the_original_alone(tmp_path, monkeypatch):
    training = ToyTraining(tmp_path / 'original', max_keep_ckpts=1)
    training.run()
    files = {path: path.read_bytes() for path in training.work_dir.glob('*') if path.is_file()}
    shutil.copytree(training.work_dir, tmp_path / 'copy')
    (tmp_path / 'copy' / 'last_checkpoint').write_text(str(training.work_dir / 'epoch_3.pth'))
    copy = ToyTraining(tmp_path / 'copy', max_keep_ckpts=1)
    # The third validation, which it does again, is the best.
    content = torch.load(copy.work_dir / 'epoch_3.pth', weights_only=False)
    torch.save(content | dict(validated=False), copy.work_dir / 'epoch_3.pth')
    monkeypatch.setattr(copy, 'validate', lambda: 3.0)
    copy.run()
    assert copy.files() == ['best_accuracy_epoch_3.pth', 'epoch_3.pth']
    assert all(path.read_bytes() == content for path, content in files.items())


def test_checkpoints_in_a_folder_of_their_own(tmp_path):
    training = ToyTraining(tmp_path / 'run', out_dir=str(tmp_path / 'out'))
    training.run()
    last = tmp_path / 'out' / 'run' / 'epoch_3.pth'
    assert latest_checkpoint(str(training.work_dir)) == str(last)
    last.write_bytes(b'damaged')
    assert latest_checkpoint(str(training.work_dir)) == str(last.with_name('epoch_2.pth'))


def test_resumed_run_takes_the_seed_of_its_checkpoint(tmp_path):
    """Without one in the config, that of the first start has drawn the order of the samples."""
    training = ToyTraining(tmp_path / 'parts')
    training.seed = None
    training.interrupt_at(4)
    with pytest.raises(SystemExit, match='143'):
        training.run()
    content = torch.load(tmp_path / 'parts' / 'interrupted.pth', weights_only=False)
    training.run()
    whole = ToyTraining(tmp_path / 'whole')
    whole.seed = content['meta']['seed']
    whole.run()
    assert weights(training) == weights(whole)


def test_epoch_with_fewer_batches_begins_anew(tmp_path):
    training = ToyTraining(tmp_path)
    training.interrupt_at(2)
    with pytest.raises(SystemExit, match='143'):
        training.run()
    training.batch_size = 6
    training.run()
    assert training.validated == [1, 2, 3] and training.runner.iter == 2 + 3


@pytest.mark.parametrize(
    'optimizer',
    (dict(type='Adam', lr=0.01), dict(type='SGD', lr=0.01)),
    ids=('Adam', 'SGD'),
)
def test_other_optimizers_are_refused(optimizer, tmp_path):
    training = ToyTraining(tmp_path)
    training.optimizer = dict(type='RMSprop', lr=0.01)
    training.interrupt_at(1)
    with pytest.raises(SystemExit, match='143'):
        training.run()
    training.optimizer = optimizer
    with pytest.raises(SystemExit, match=r'interrupted\.pth cannot be resumed .* no .*, which'):
        training.run()


def test_other_groups_of_parameters_are_refused(tmp_path):
    training = ToyTraining(tmp_path)
    training.run()
    path = tmp_path / 'epoch_3.pth'
    content = torch.load(path, weights_only=False)
    content['optimizer']['param_groups'] *= 2
    torch.save(content, path)
    with pytest.raises(SystemExit, match=r'epoch_3\.pth cannot be .* different number of .*groups'):
        training.run()


def test_another_order_of_parameters_is_refused(tmp_path):
    training = ToyTraining(tmp_path)
    training.optimizer = dict(type='SGD', lr=0.01, momentum=0.9)
    training.interrupt_at(1)
    with pytest.raises(SystemExit, match='143'):
        training.run()
    path = tmp_path / 'interrupted.pth'
    content = torch.load(path, weights_only=False)
    state = content['optimizer']['state']
    state[0], state[1] = state[1], state[0]
    torch.save(content, path)
    with pytest.raises(SystemExit, match=r'momentum_buffer of shape \(1,\) .* had another order'):
        training.run()
