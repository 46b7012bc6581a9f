"""tools/download_checkpoints.py."""

import runpy
import sys
from pathlib import Path

import pytest

from mmdia.checkpoints import fetch, list_trunks

TOOL = Path(__file__).parents[2] / 'tools' / 'download_checkpoints.py'


@pytest.fixture
def run(monkeypatch, capsys):
    def run_tool(*args):
        monkeypatch.setattr(sys, 'argv', [TOOL.name, *map(str, args)])
        runpy.run_path(str(TOOL), run_name='__main__')
        return capsys.readouterr().out

    return run_tool


def test_list(run, server, name_trunk):
    name_trunk(
        server.url('good'), models=[dict(Name='our-model', Weights='http://x/y-01234567.pth')]
    )
    before = run('--list').splitlines()
    assert before[0].split() == ['name', 'top-1', 'on', 'disk', 'backbone']
    assert before[1].split()[:3] == ['trunk', '76.50', 'no'] and 'depth=18' in before[1]
    assert before[2].split() == ['our-model', 'no']
    assert not server.requests
    fetch('trunk')
    (line,) = (line for line in run('--list').splitlines() if line.startswith('trunk'))
    assert line.split()[2] == 'yes'


def test_list_has_all_trunks(run):
    names = [line.split()[0] for line in run('--list').splitlines()[1:]]
    assert names[: len(list_trunks())] == [trunk.name for trunk in list_trunks()]


@pytest.mark.parametrize('args', (['trunk'], ['--trunks'], ['trunk', '--trunks']))
def test_download(run, server, name_trunk, cache, content, name, args):
    name_trunk(server.url('good'))
    assert f'trunk: {cache / name}\n' in run(*args)
    assert (cache / name).read_bytes() == content
    assert len(server.requests) == 1


def test_out_is_a_folder_for_elsewhere(
    run, server, name_trunk, cache, content, name, tmp_path, monkeypatch
):
    out = tmp_path / 'some' / 'folder'
    name_trunk(server.url('good'))
    assert f'trunk: {out / name}\n' in run('trunk', '--out', out)
    (cache / name).unlink()
    monkeypatch.setenv('MMDIA_CHECKPOINTS', str(out))
    assert fetch('trunk') == out / name
    run('trunk', '--out', out)  # onto itself
    assert [path.name for path in out.iterdir()] == [name]
    assert (out / name).read_bytes() == content
    assert len(server.requests) == 1


def test_failures_do_not_stop_the_others(run, server, name_trunk, cache, name):
    name_trunk(server.url('good'))
    with pytest.raises(SystemExit, match=r"^nothing: there is no checkpoint 'nothing'"):
        run('nothing', 'trunk')
    assert (cache / name).exists()


def test_failed_download(run, server, name_trunk):
    name_trunk(server.url('missing'))
    with pytest.raises(SystemExit, match=r'^trunk: could not download weights-\w+\.pth:\n.* 404'):
        run('trunk')


def test_out_is_a_file(run, server, name_trunk, tmp_path):
    name_trunk(server.url('good'))
    (tmp_path / 'file').write_bytes(b'')
    with pytest.raises(SystemExit, match=rf'trunk: .*{tmp_path}/file'):
        run('trunk', '--out', tmp_path / 'file')


def test_nothing_to_do(run, capsys):
    with pytest.raises(SystemExit):
        run()
    assert 'give names, --trunks or --list' in capsys.readouterr().err
