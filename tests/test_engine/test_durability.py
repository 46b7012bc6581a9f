"""What a killed run leaves behind, and what it does when it is resumed."""

import multiprocessing
import os
import time
from functools import partial

import pytest
import torch

from mmdia.cli.resume import is_intact, latest_checkpoint

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
        assert not list(training.work_dir.glob('*.part'))


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


def test_evaluation_with_a_pool(tmp_path, monkeypatch):
    """Workers of a pool end when they are terminated, though the training is not."""
    training = ToyTraining(tmp_path)
    validate = training.validate

    def with_pool():
        with multiprocessing.get_context('fork').Pool(2) as pool:
            next(pool.imap_unordered(time.sleep, [0, 60]))
        return validate()

    monkeypatch.setattr(training, 'validate', with_pool)
    start = time.monotonic()
    training.run()
    assert training.validated == [1, 2, 3] and time.monotonic() - start < 30


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
