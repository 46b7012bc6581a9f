"""What a killed run leaves behind, and what it does when it is resumed."""

import os

import pytest
import torch

from mmdia.apis.resume import is_intact, latest_checkpoint
from mmdia.engine import files

from ..toy_training import ToyTraining


class KilledError(BaseException):
    """No code expects it, as none expects SIGKILL."""


def weights(training):
    path = training.work_dir / ('epoch_3.pth' if training.by_epoch else 'iter_9.pth')
    content = torch.load(path, weights_only=False)
    state = {**content['state_dict'], **content['ema_state_dict']}
    return {name: value.tolist() for name, value in state.items()}


@pytest.fixture
def kill_at(monkeypatch):
    """Makes the n-th change of a folder fail, or half of the n-th write; returns their number."""

    def patch(moment=None):
        moments = []

        def act(function):
            def wrapper(path, *args):
                moments.append(path)
                if len(moments) - 1 == moment:
                    raise KilledError
                return function(path, *args)

            return wrapper

        for name in ('fsync', 'replace', 'remove'):
            monkeypatch.setattr(files.os, name, act(getattr(REAL, name)))
        return moments

    return patch


class REAL:
    fsync, replace, remove = os.fsync, os.replace, os.remove


@pytest.mark.parametrize('by_epoch', (True, False), ids=('epochs', 'iterations'))
def test_killed_at_any_change_of_the_folder(by_epoch, tmp_path, kill_at):
    moments = kill_at()
    whole = ToyTraining(tmp_path / 'whole', by_epoch, max_keep_ckpts=1)
    whole.run()
    total, expected = len(moments), weights(whole)
    assert total > 20 and whole.validated == [1, 2, 3]
    for moment in range(0, total, 3):
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
