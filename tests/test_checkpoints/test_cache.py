"""Named checkpoints: cache, private mirrors, and several processes at once."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmdia.checkpoints import DownloadError, fetch, find_checkpoint, find_on_disk

ROOT = Path(__file__).parents[2]


def test_fetch_then_offline(server, name_trunk, cache, content):
    name_trunk(server.url('good'))
    assert find_on_disk(find_checkpoint('trunk')) is None
    path = fetch('trunk')
    assert path == cache / 'weights.pth' and path.read_bytes() == content
    name_trunk('http://127.0.0.1:1/weights.pth')
    assert fetch('trunk') == find_on_disk(find_checkpoint('trunk')) == path
    assert len(server.requests) == 1


def test_what_torch_hub_downloaded_is_found(name_trunk, cache, content):
    cache.mkdir(parents=True)
    (cache / 'weights.pth').write_bytes(content)
    name_trunk('http://127.0.0.1:1/weights.pth')
    assert fetch('trunk') == cache / 'weights.pth'
    assert [path.name for path in cache.iterdir()] == ['weights.pth']


def test_damaged_file_in_the_cache(server, name_trunk, cache, content):
    name_trunk(server.url('good'))
    cache.mkdir(parents=True)
    (cache / 'weights.pth').write_bytes(content[:-1])
    assert fetch('trunk').read_bytes() == content
    assert (cache / 'weights.pth.bad').read_bytes() == content[:-1]


def test_folder_as_mirror_is_used_in_place(name_trunk, cache, content, tmp_path, monkeypatch):
    folder = tmp_path / 'mirror'
    folder.mkdir()
    (folder / 'weights.pth').write_bytes(content)
    monkeypatch.setenv('MMDIA_CHECKPOINTS', str(folder))
    name_trunk('http://127.0.0.1:1/weights.pth')
    assert fetch('trunk') == folder / 'weights.pth'
    assert not cache.exists()
    assert [path.name for path in folder.iterdir()] == ['weights.pth']


@pytest.mark.parametrize(('data', 'reason'), ((None, 'no such file'), (b'x', 'wrong content')))
def test_folder_that_does_not_help(server, name_trunk, tmp_path, monkeypatch, data, reason):
    mine = tmp_path / 'mirror' / 'weights.pth'
    if data:
        mine.parent.mkdir()
        mine.write_bytes(data)
    monkeypatch.setenv('MMDIA_CHECKPOINTS', str(mine.parent))
    name_trunk(server.url('missing'))
    with pytest.raises(DownloadError, match=f'  {mine}: {reason}\n  {server.url("missing")}: HTTP'):
        fetch('trunk')
    name_trunk(server.url('good'))
    fetch('trunk')
    assert mine.exists() == bool(data)  # the user's folder stays as it is


@pytest.mark.parametrize('end', ('', '/'))
def test_url_as_mirror_is_asked_first(server, name_trunk, monkeypatch, content, end):
    monkeypatch.setenv('MMDIA_CHECKPOINTS', server.url('good', 'mine') + end)
    name_trunk(server.url('missing'))
    assert fetch('trunk').read_bytes() == content
    assert server.paths() == ['/good/mine/weights.pth']


def test_file_url_as_mirror(name_trunk, monkeypatch, tmp_path, cache, content):
    (tmp_path / 'weights.pth').write_bytes(content)
    monkeypatch.setenv('MMDIA_CHECKPOINTS', tmp_path.as_uri())
    name_trunk('http://127.0.0.1:1/weights.pth')
    assert fetch('trunk') == cache / 'weights.pth'
    assert (cache / 'weights.pth').read_bytes() == content


def test_url_as_mirror_that_does_not_help(server, name_trunk, monkeypatch, content):
    monkeypatch.setenv('MMDIA_CHECKPOINTS', server.url('missing', 'mine'))
    name_trunk(server.url('good'))
    assert fetch('trunk').read_bytes() == content
    assert server.paths() == ['/missing/mine/weights.pth', '/good/weights.pth']


def test_two_processes_download_once(server, name_trunk, tmp_path, content):
    name_trunk(server.url('slow'))
    code = f"""
from pathlib import Path
from mmdia.checkpoints import fetch, index
index.TRUNKS = Path({str(tmp_path / 'index.yml')!r})
index.MODEL_INDEX = Path({str(tmp_path / 'model-index.yml')!r})
import torch.hub
print('ready', flush=True)
print(fetch('trunk'))
"""
    command = [sys.executable, '-c', code]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    processes = [subprocess.Popen(command, cwd=ROOT, **pipes) for _ in range(2)]
    try:
        for process in processes:
            assert process.stdout.readline() == 'ready\n'
        time.sleep(0.5)  # the second waits for the lock
        server.released.set()
        for process in processes:
            out, err = process.communicate(timeout=60)
            assert process.returncode == 0, err
            assert Path(out.splitlines()[-1]).read_bytes() == content
    finally:
        for process in processes:
            process.kill()
    assert len(server.requests) == 1
    assert server.sent == len(content)
