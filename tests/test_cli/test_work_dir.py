"""Folders of runs, and the checkpoints in them."""

import os
import signal
import sys
import time
from multiprocessing import get_context

import pytest
import torch

from mmdia.cli.outputs import check_folder
from mmdia.cli.work_dir import latest_checkpoint, lock_work_dir

FORK = get_context('fork')


@pytest.mark.parametrize(
    'note',
    (b'\xff\xfe\x00e', '/elsewhere/é'.encode('latin-1'), b'a\0b', b'', b'x' * 5000, b'\n'),
    ids=('UTF-16', 'latin-1', 'null', 'empty', 'long', 'blank'),
)
def test_last_checkpoint_that_names_none(note, tmp_path):
    (tmp_path / 'last_checkpoint').write_bytes(note)
    torch.save({}, tmp_path / 'epoch_1.pth')
    assert latest_checkpoint(str(tmp_path)) == str(tmp_path / 'epoch_1.pth')


def test_links_to_nothing(tmp_path):
    (tmp_path / 'latest.pth').symlink_to('none.pth')
    torch.save({}, tmp_path / 'epoch_1.pth')
    assert latest_checkpoint(str(tmp_path)) == str(tmp_path / 'epoch_1.pth')


def test_copies_come_first(tmp_path):
    for name in ('original', 'copy'):
        (tmp_path / name).mkdir()
        torch.save({}, tmp_path / name / 'epoch_1.pth')
    original, copy = (tmp_path / name / 'epoch_1.pth' for name in ('original', 'copy'))
    (tmp_path / 'copy' / 'last_checkpoint').write_text(str(original))
    assert latest_checkpoint(str(tmp_path / 'copy')) == str(copy)


def test_nothing_was_saved_yet(tmp_path):
    (tmp_path / 'epoch_1.pth.mmdia-part').touch()
    assert latest_checkpoint(str(tmp_path)) is None
    assert latest_checkpoint(str(tmp_path / 'none')) is None


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
        check_folder('work dir', work_dir)


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
        check_folder('work dir', str(tmp_path / 'file'))
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
