"""Downloads from servers that misbehave: what fails, what is said, and what is left behind."""

import errno
import os
import re
import socket

import pytest

from mmdia.checkpoints import DownloadError, partial, transfer
from mmdia.checkpoints import download as download_module
from mmdia.checkpoints.download import ATTEMPTS, download


@pytest.fixture
def target(tmp_path):
    return tmp_path / 'cache' / 'weights.pth'


@pytest.fixture
def part(target):
    return target.with_name('weights.pth.part')


@pytest.fixture
def said(monkeypatch):
    messages = []
    monkeypatch.setattr(download_module, 'print_log', lambda text, **_: messages.append(text))
    return messages


def files(target):
    return {path.name for path in target.parent.iterdir()} - {'weights.pth.lock'}


def assert_complete(target, content):
    assert target.read_bytes() == content
    assert files(target) == {'weights.pth'}


@pytest.mark.parametrize('count', (8, 20, 64))
def test_a_prefix_of_the_hash_is_enough(server, target, content, digits, count):
    download([server.url('good')], target, digits[:count])
    assert_complete(target, content)
    assert server.sent == len(content)


def test_redirection(server, target, content, digits):
    download([server.url('moved')], target, digits)
    assert_complete(target, content)


def test_nothing_is_asked_for_if_the_file_is_there(server, target, content, digits):
    for _ in range(2):
        download([server.url('good')], target, digits)
    assert len(server.requests) == 1


# What a mirror does, what is said of it, how often it is asked, and whether a part is kept.
FAILURES = {
    'missing': ('HTTP 404 Not Found', 1, False),
    'broken': ('HTTP 500 Internal Server Error', ATTEMPTS, False),
    'silent': ('no answer within 30 s', 1, False),
    'stalls': ('no answer within 30 s', ATTEMPTS, True),
    'truncated': (r'the connection ended after \d+ of \d+ bytes', ATTEMPTS, True),
    'truncated-in-silence': ('wrong content: SHA-256 [0-9a-f]{64}, expected ', 1, False),
    'wrong': ('wrong content: SHA-256 [0-9a-f]{64}, expected ', 1, False),
}


@pytest.fixture
def impatient(monkeypatch):
    """Waits briefly for those that never answer, and as long as always for the others."""
    urlopen = transfer.urlopen

    def open_url(request, timeout):
        assert timeout == transfer.TIMEOUT
        never = re.search('/(silent|stalls)/', request.full_url)
        return urlopen(request, timeout=1.0 if never else timeout)

    monkeypatch.setattr(transfer, 'urlopen', open_url)


@pytest.mark.usefixtures('impatient')
@pytest.mark.parametrize(('behaviour', 'expected'), FAILURES.items(), ids=FAILURES)
def test_failure(server, target, part, digits, behaviour, expected):
    reason, requests, keeps_part = expected
    url = server.url(behaviour)
    with pytest.raises(DownloadError, match=f'could not download weights.pth:\n  {url}: {reason}'):
        download([url], target, digits)
    assert len(server.requests) == requests
    assert not target.exists()
    # An empty part is as good as none.
    assert bool(part.exists() and part.stat().st_size) == keeps_part


@pytest.mark.usefixtures('impatient')
@pytest.mark.parametrize(('behaviour', 'expected'), FAILURES.items(), ids=FAILURES)
def test_the_next_mirror_helps(server, target, content, digits, said, behaviour, expected):
    reason, requests, _ = expected
    bad, good = server.url(behaviour), server.url('good')
    download([bad, good], target, digits)
    assert_complete(target, content)
    assert said[0] == f'downloading {bad} to {target}'
    assert len(said) == requests + 2
    for text in said[1:requests]:
        assert re.fullmatch(f'{bad}: {reason}.*; trying again', text)
    assert re.fullmatch(f'{bad}: {reason}.*; trying {good}', said[-2])
    assert said[-1] == f'downloading {good} to {target}'


def closed_port():
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        return taken.getsockname()[1]


def test_all_mirrors_fail(server, target, digits):
    refused = f'http://127.0.0.1:{closed_port()}/weights.pth'
    urls = [server.url('missing'), refused, server.url('wrong'), 'no/address']
    with pytest.raises(DownloadError) as caught:
        download(urls, target, digits, failures=['here: no such file'])
    message = str(caught.value).splitlines()
    assert message[0] == 'could not download weights.pth:'
    assert message[1] == '  here: no such file'
    assert message[2] == f'  {urls[0]}: HTTP 404 Not Found'
    assert message[3] == f'  {refused}: Connection refused'
    assert message[4].startswith(f'  {urls[2]}: wrong content: SHA-256 ')
    assert message[5] == "  no/address: unknown url type: 'no/address'"
    assert str(target.parent) in message[6] and 'MMDIA_CHECKPOINTS' in message[6]
    assert files(target) <= {'weights.pth.part'}


def test_a_busy_server_is_asked_again(server, target, content, digits):
    download([server.url('busy-once')], target, digits)
    assert_complete(target, content)
    assert len(server.requests) == 2


def test_a_cut_connection_is_resumed(server, target, content, digits):
    download([server.url('cut-once')], target, digits)
    assert_complete(target, content)
    assert [r for _, r in server.requests] == [None, f'bytes={server.cut_after}-']
    assert server.sent == len(content)  # and no byte twice


def test_another_mirror_resumes(server, target, part, content, digits):
    with pytest.raises(DownloadError):
        download([server.url('truncated')], target, digits)
    assert part.read_bytes() == content[: server.cut_after]
    server.requests.clear()
    server.sent = 0
    download([server.url('good')], target, digits)
    assert_complete(target, content)
    assert server.requests[0][1] == f'bytes={server.cut_after}-'
    assert server.sent == len(content) - server.cut_after


def test_a_server_without_ranges_starts_again(server, target, content, digits):
    download([server.url('no-range')], target, digits)
    assert_complete(target, content)
    assert [bool(r) for _, r in server.requests] == [False, True]
    assert server.sent == server.cut_after + len(content)


@pytest.mark.parametrize('behaviour', ('other-range', 'nameless-range'))
def test_a_server_that_sends_another_range(server, target, part, content, digits, behaviour):
    part.parent.mkdir()
    part.write_bytes(content[:100])
    download([server.url(behaviour)], target, digits)
    assert_complete(target, content)
    assert [r for _, r in server.requests] == ['bytes=100-', None]


@pytest.mark.parametrize('extra', (b'', b'more'), ids=('as-long', 'longer'))
def test_a_wrong_part_is_dropped(server, target, part, content, digits, extra):
    part.parent.mkdir()
    part.write_bytes(b'x' * len(content) + extra)
    download([server.url('good')], target, digits)
    assert_complete(target, content)
    assert server.sent == len(content)


def test_a_wrong_beginning_is_dropped(server, target, part, content, digits):
    part.parent.mkdir()
    part.write_bytes(b'<html>')
    download([server.url('good')], target, digits)
    assert_complete(target, content)
    assert [r for _, r in server.requests] == ['bytes=6-', None]


def test_a_complete_part_needs_no_server(target, part, content, digits):
    part.parent.mkdir()
    part.write_bytes(content)
    download(['http://127.0.0.1:1/weights.pth'], target, digits)
    assert_complete(target, content)


def test_a_damaged_file_is_moved_aside(server, target, content, digits, said):
    target.parent.mkdir()
    target.write_bytes(b'damaged')
    download([server.url('good')], target, digits)
    assert target.read_bytes() == content
    assert target.with_name('weights.pth.bad').read_bytes() == b'damaged'
    assert files(target) == {'weights.pth', 'weights.pth.bad'}
    assert said[0].startswith(f'{target} is damaged') and said[0].endswith('now weights.pth.bad')


def fail(code):
    def raise_error(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    return raise_error


def test_no_space(server, target, part, content, digits, monkeypatch):
    class FullDisk:
        def __init__(self, file):
            self.file = file

        def __getattr__(self, name):
            return getattr(self.file, name)

        def write(self, data):
            self.file.write(data[:100])
            fail(errno.ENOSPC)()

    def open_on_full_disk(path, mode):
        file = open(path, mode)
        return FullDisk(file) if '+' in mode else file

    with monkeypatch.context() as patch:
        patch.setattr(partial, 'open', open_on_full_disk, raising=False)
        message = f'cannot write {part}: No space left on device'
        with pytest.raises(DownloadError, match=message):
            download([server.url('good'), server.url('good', 'other.pth')], target, digits)
    # Another mirror does not help, and what was written is not lost.
    assert len(server.requests) == 1
    assert files(target) == {'weights.pth.part'}
    download([server.url('good')], target, digits)
    assert_complete(target, content)
    assert server.requests[1][1] == 'bytes=100-'


@pytest.mark.parametrize('what', ('mkdir', 'lock', 'part', 'replace'))
def test_no_permission(server, target, part, digits, monkeypatch, what):
    denied = fail(errno.EACCES)
    if what == 'mkdir':
        monkeypatch.setattr('pathlib.Path.mkdir', denied)
    elif what == 'lock':
        monkeypatch.setattr('mmdia.checkpoints.download.FileLock.acquire', denied)
    elif what == 'part':
        monkeypatch.setattr(partial, 'open', denied, raising=False)
    else:
        monkeypatch.setattr(partial.os, 'replace', denied)
    with pytest.raises(DownloadError, match=r'cannot write \S+weights.pth.*: Permission denied'):
        download([server.url('good')], target, digits)
    assert not target.exists()
    assert len(server.requests) == (what == 'replace')
