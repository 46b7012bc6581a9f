"""Cached files: names, URLs, private mirrors, and several processes at once."""

import multiprocessing
import os
import re
import time
from pathlib import Path

import filelock
import pytest
import torch

from mmdia.checkpoints import DownloadError, fetch, find_checkpoint, find_on_disk, index
from mmdia.checkpoints.cache import fetch_url

from .conftest import to_bytes


def test_fetch_then_offline(server, name_trunk, cache, content, name):
    name_trunk(server.url('good'))
    assert find_on_disk(find_checkpoint('trunk')) is None
    path = fetch('trunk')
    assert path == cache / name and path.read_bytes() == content
    name_trunk('http://127.0.0.1:1/weights.pth')
    assert fetch('trunk') == find_on_disk(find_checkpoint('trunk')) == path
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    'get', (lambda name: fetch('trunk'), lambda name: fetch_url(f'http://127.0.0.1:1/{name}'))
)
def test_what_is_there_needs_no_lock(name_trunk, cache, content, name, get, monkeypatch):
    # As torch.hub left it, in a folder that cannot be written.
    cache.mkdir(parents=True)
    (cache / name).write_bytes(content)
    monkeypatch.setattr(filelock.FileLock, 'acquire', None)
    name_trunk(f'http://127.0.0.1:1/{name}')
    assert get(name) == cache / name
    assert os.listdir(cache) == [name]


@pytest.mark.parametrize('what', ('name', 'URL', 'URL with a hash'))
def test_error_says_where_to_put_the_file(server, name_trunk, cache, content, name, what):
    url = server.url('missing', name if what == 'URL with a hash' else 'weights.pth')
    name_trunk(url)

    def get():
        return fetch('trunk') if what == 'name' else fetch_url(url)

    with pytest.raises(DownloadError) as caught:
        get()
    last = str(caught.value).splitlines()[-1]
    path, elsewhere = re.search(r'save the file as (\S+\.pth)(.*)\.$', last).groups()
    assert ('a folder that MMDIA_CHECKPOINTS names' in elsewhere) == (what == 'name')
    assert Path(path).parent == cache
    Path(path).write_bytes(content)
    assert get() == Path(path)


def test_damaged_file_is_replaced(server, name_trunk, cache, content, name):
    name_trunk(server.url('good'))
    cache.mkdir(parents=True)
    (cache / name).write_bytes(content[:-1])
    assert fetch('trunk').read_bytes() == content


def test_folder_as_mirror_is_used_in_place(name_trunk, cache, content, tmp_path, monkeypatch, name):
    folder = tmp_path / 'mirror'
    folder.mkdir()
    (folder / name).write_bytes(content)
    monkeypatch.setenv('MMDIA_CHECKPOINTS', str(folder))
    name_trunk('http://127.0.0.1:1/weights.pth')
    assert fetch('trunk') == folder / name
    assert not cache.exists()
    assert os.listdir(folder) == [name]


@pytest.mark.parametrize(('data', 'reason'), ((None, 'No such file'), (b'x', 'wrong content')))
def test_folder_that_does_not_help(server, name_trunk, tmp_path, monkeypatch, data, reason, name):
    mine = tmp_path / 'mirror' / name
    if data:
        mine.parent.mkdir()
        mine.write_bytes(data)
    monkeypatch.setenv('MMDIA_CHECKPOINTS', str(mine.parent))
    name_trunk(server.url('missing'))
    with pytest.raises(
        DownloadError, match=rf'{mine}: .*{reason}.*\n  {server.url("missing")}: HTTP'
    ):
        fetch('trunk')
    name_trunk(server.url('good'))
    fetch('trunk')
    assert mine.exists() == bool(data)  # the user's folder stays as it is


@pytest.mark.parametrize('end', ('', '/'))
def test_url_as_mirror_is_asked_first(server, name_trunk, monkeypatch, content, end, name):
    monkeypatch.setenv('MMDIA_CHECKPOINTS', server.url('good', 'mine') + end)
    name_trunk(server.url('missing'))
    assert fetch('trunk').read_bytes() == content
    assert server.requests == [f'/good/mine/{name}']


def test_url_as_mirror_that_does_not_help(server, name_trunk, monkeypatch, content, name):
    monkeypatch.setenv('MMDIA_CHECKPOINTS', server.url('missing', 'mine'))
    name_trunk(server.url('good'))
    assert fetch('trunk').read_bytes() == content
    assert server.requests == [f'/missing/mine/{name}', '/good/weights.pth']


def test_file_url_as_mirror(name_trunk, monkeypatch, tmp_path, cache, content, name):
    (tmp_path / name).write_bytes(content)
    monkeypatch.setenv('MMDIA_CHECKPOINTS', tmp_path.as_uri())
    name_trunk('http://127.0.0.1:1/weights.pth')
    assert fetch('trunk') == cache / name
    assert (cache / name).read_bytes() == content


# URLs


def test_url_then_offline(server, content):
    url = server.url('good', 'epoch_1.pth')
    path = fetch_url(url)
    assert path.read_bytes() == content and path.name.startswith('epoch_1-')
    server.shutdown()
    server.server_close()
    assert fetch_url(url) == path


def test_urls_of_the_same_name(server, content):
    first = fetch_url(server.url('good', 'run1/epoch_1.pth'))
    server.content = to_bytes(dict(weight=torch.zeros(3)))
    second = fetch_url(server.url('good', 'run2/epoch_1.pth'))
    third = fetch_url(server.url('good', 'run2/epoch_1.pth?version=2'))
    assert first.read_bytes() == content
    assert second.read_bytes() == third.read_bytes() == server.content
    assert len({first, second, third}) == 3


@pytest.mark.parametrize('size', (3, 50_000))
def test_url_of_a_file_that_changes(server, size):
    url = server.url('dated')
    path = fetch_url(url)
    server.content = to_bytes(dict(weight=torch.zeros(size)))
    server.changed = time.time() + 100
    assert fetch_url(url) == path and path.read_bytes() == server.content
    assert server.requests == ['/dated/weights.pth'] * 2
    # A server that fails then does no harm.
    server.content = b'<html>please log in</html>'
    before = path.read_bytes()
    assert fetch_url(url) == path and path.read_bytes() == before


def test_hash_in_the_name_of_a_url(server, cache, name, content):
    path = fetch_url(server.url('good', name))
    assert path == cache / name and path.read_bytes() == content
    with pytest.raises(DownloadError, match='wrong content: SHA-256'):
        fetch_url(server.url('good', 'weights-0123abcd.pth'))
    # A date is none.
    assert fetch_url(server.url('good', 'weights-20250102.pth')).read_bytes() == content


@pytest.mark.parametrize('data', (b'<html>please log in</html>', b'', b'PK\x03\x04'))
def test_what_is_no_checkpoint_is_not_kept(server, cache, content, data):
    url = server.url('good')
    server.content = data
    with pytest.raises(DownloadError, match='it is truncated or not a checkpoint'):
        fetch_url(url)
    assert not list(cache.glob('*.pth'))
    server.content = content
    assert fetch_url(url).read_bytes() == content


@pytest.mark.parametrize('path', ('..', '%2e%2e%2f%2e%2e%2fx', '', 'x' * 300 + '.pth', 'a/../../b'))
def test_names_stay_in_the_cache(server, cache, path):
    found = fetch_url(server.url('good', path))
    assert found.parent == cache and found.is_file()


def test_hash_of_names_in_the_index():
    # A name without a hash gets it, so that two of one name do not replace each other.
    checkpoint = index.Checkpoint('a', ('http://x/epoch_1.pth',), 'ab' * 32)
    assert checkpoint.filename == 'epoch_1-abababab.pth'


def test_four_processes_download_once(server, name_trunk, content):
    name_trunk(server.url('slow'))
    context = multiprocessing.get_context('fork')
    paths = context.Queue()
    processes = [context.Process(target=lambda: paths.put(fetch('trunk'))) for _ in range(4)]
    for process in processes:
        process.start()
    time.sleep(0.5)  # three wait for the lock
    server.released.set()
    found = {paths.get(timeout=60) for _ in processes}
    for process in processes:
        process.join()
    (path,) = found
    assert path.read_bytes() == content
    assert len(server.requests) == 1 and server.sent == len(content)
