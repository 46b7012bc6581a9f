"""Downloads from servers that misbehave: what fails, what is said, and what is left behind."""

import errno
import os
import re
import socket
from functools import partial

import pytest

from mmdia.checkpoints import DownloadError
from mmdia.checkpoints import download as module
from mmdia.checkpoints.download import check_hash, download
from mmdia.checkpoints.reader import check_file


@pytest.fixture
def target(tmp_path):
    return tmp_path / 'cache' / 'weights.pth'


@pytest.fixture
def check(digits):
    return partial(check_hash, digits=digits)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Waits briefly."""
    assert module.TIMEOUT == 30
    monkeypatch.setattr(module, 'TIMEOUT', 0.3)


def files(target):
    return {path.name for path in target.parent.iterdir()} - {'weights.pth.lock'}


@pytest.mark.parametrize('count', (8, 20, 64))
def test_a_prefix_of_the_hash_is_enough(server, target, content, digits, count):
    download([server.url('good')], target, partial(check_hash, digits=digits[:count]))
    assert target.read_bytes() == content and files(target) == {'weights.pth'}
    assert server.sent == len(content)


@pytest.mark.parametrize('behaviour', ('moved', 'busy-once', 'cut-once'))
def test_what_helps_itself(server, target, content, check, behaviour):
    download([server.url(behaviour)], target, check)
    assert target.read_bytes() == content and files(target) == {'weights.pth'}
    assert len(server.requests) == 2


def test_nothing_is_asked_for_if_the_file_is_there(server, target, check):
    for _ in range(2):
        download([server.url('good')], target, check)
    assert len(server.requests) == 1


FAILURES = {
    'missing': 'HTTP Error 404: Not Found',
    'silent': 'timed out',
    'stalls': 'timed out',
    'truncated': r'the connection ended after \d+ of \d+ bytes|IncompleteRead',
    'truncated-in-silence': 'wrong content: SHA-256 [0-9a-f]{64}, expected ',
    'other-range': 'wrong content: SHA-256 [0-9a-f]{64}, expected ',
    'wrong': 'wrong content: SHA-256 [0-9a-f]{64}, expected ',
    'huge': 'it has more than 1000000 bytes',
    'endless': 'it has more than 1000000 bytes',
    'moved-to-disk': 'HTTP Error 302',
}


@pytest.mark.parametrize(('behaviour', 'reason'), FAILURES.items(), ids=FAILURES)
def test_failure(server, target, content, check, behaviour, reason, monkeypatch):
    monkeypatch.setattr(module, 'LARGEST', 1_000_000)
    bad, good = server.url(behaviour), server.url('good')
    with pytest.raises(DownloadError) as caught:
        download([bad], target, check)
    assert re.match(f'could not download weights.pth:\n  {bad}: .*({reason})', str(caught.value))
    assert files(target) == set()
    # The next mirror helps.
    download([bad, good], target, check)
    assert target.read_bytes() == content and files(target) == {'weights.pth'}


def closed_port():
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        return taken.getsockname()[1]


def test_all_mirrors_fail(server, target, check):
    refused = f'http://127.0.0.1:{closed_port()}/weights.pth'
    urls = [server.url('missing'), refused, 'no/address']
    with pytest.raises(DownloadError) as caught:
        download(urls, target, check)
    first, *reasons, last = str(caught.value).splitlines()
    assert first == 'could not download weights.pth:'
    assert reasons[0] == f'  {urls[0]}: HTTP Error 404: Not Found'
    assert refused in reasons[1] and 'Connection refused' in reasons[1]
    assert reasons[2] == "  no/address: unknown url type: 'no/address'"
    assert last == f'Where there is no internet, save the file as {target}.'
    assert server.requests == ['/missing/weights.pth'] * 2


def test_what_was_there_stays_until_there_is_another(server, target, content, check):
    target.parent.mkdir()
    target.write_bytes(b'damaged')
    with pytest.raises(DownloadError):
        download([server.url('missing')], target, check)
    assert target.read_bytes() == b'damaged'
    download([server.url('good')], target, check)
    assert target.read_bytes() == content and files(target) == {'weights.pth'}


def fail(code):
    def raise_error(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    return raise_error


@pytest.mark.parametrize('what', ('mkdir', 'lock', 'open', 'replace', 'write'))
def test_disks_that_cannot_be_written(server, target, monkeypatch, what):
    class FullDisk:
        write = staticmethod(fail(errno.ENOSPC))

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

    patched = {
        'mkdir': ('pathlib.Path.mkdir', fail(errno.EACCES)),
        'lock': ('mmdia.checkpoints.download.FileLock.acquire', fail(errno.EROFS)),
        'open': ('mmdia.checkpoints.download.open', fail(errno.EACCES)),
        'write': ('mmdia.checkpoints.download.open', lambda *args: FullDisk()),
        'replace': ('mmdia.checkpoints.download.os.replace', fail(errno.EACCES)),
    }
    monkeypatch.setattr(*patched[what], raising=False)
    asked = what in ('open', 'write', 'replace')
    message = r'cannot write \S+weights\.pth: ' * asked + '(Permission|No space|Read-only)'
    with pytest.raises(OSError, match=message):
        # Another mirror would not help, and is not asked.
        download([server.url('good')] * 2, target, check_file)
    assert not target.exists() and len(server.requests) == asked
