"""The options of the tools, by their effect on a config."""

import inspect
import re
import sys
from argparse import ArgumentParser
from pathlib import Path

import pytest
from mmengine.config import Config

from mmdia.cli.analysis import add_out_argument
from mmdia.cli.command_line import (
    add_common_arguments,
    build_runner,
    read_config,
    spare_files,
)
from mmdia.cli.outputs import check_folder

ROOT = Path(__file__).parents[2]
CONFIG = """
default_scope = '{scope}'
train_dataloader = dict(batch_size=2, num_workers=2)
val_dataloader = None
test_dataloader = dict(batch_size=2, num_workers=0)
"""


@pytest.fixture
def read(tmp_path):
    def parse(*options, scope='mmpretrain'):
        path = tmp_path / 'my_config.py'
        path.write_text(CONFIG.format(scope=scope))
        parser = ArgumentParser()
        parser.add_argument('config')
        add_common_arguments(parser)
        return read_config(parser.parse_args([str(path), *options]))

    return parse


def test_work_dir(read):
    assert read().work_dir == 'work_dirs/my_config'
    assert read('--cfg-options', 'work_dir=there').work_dir == 'there'
    assert read('--work-dir', 'here').work_dir == 'here'


def test_loaders_of_mmpretrain_are_completed(read):
    cfg = read()
    assert cfg.train_dataloader.collate_fn == dict(type='default_collate')
    assert cfg.train_dataloader.pin_memory and cfg.train_dataloader.persistent_workers
    # PyTorch refuses persistent workers where there are none.
    assert not cfg.test_dataloader.persistent_workers
    assert cfg.val_dataloader is None


def test_loaders_of_mmdetection_are_left_alone(read):
    assert read(scope='mmdet').train_dataloader == dict(batch_size=2, num_workers=2)


def test_loader_options(read):
    cfg = read('--no-pin-memory', '--no-persistent-workers')
    assert not cfg.train_dataloader.pin_memory
    assert not cfg.train_dataloader.persistent_workers


def test_cfg_options_and_launcher(read):
    cfg = read(
        '--cfg-options', 'train_dataloader.num_workers=0', 'a.b="[1,2]"', '--launcher', 'pytorch'
    )
    assert cfg.train_dataloader.num_workers == 0
    assert not cfg.train_dataloader.persistent_workers
    assert cfg.a.b == [1, 2]
    assert cfg.launcher == 'pytorch'


CONFIGS = {
    'missing': None,
    'base that is missing': "_base_ = './none.py'",
    'base of an unknown library': "_base_ = 'nolib::none.py'",
    'base that is a number': '_base_ = 7',
    'base that is a folder': "_base_ = './folder.py'",
    'no Python': 'model = dict(',
    'fails': 'model = 1 / 0',
    'contradicts its base': "_base_ = './base.py'\nmodel = dict(type=dict(a=1))",
    'binary': b'\xff\xfe\x00',
}


def parse(*options):
    parser = ArgumentParser()
    parser.add_argument('config')
    add_common_arguments(parser)
    return parser.parse_args(options)


@pytest.mark.parametrize('kind', CONFIGS)
def test_configs_that_cannot_be_read(kind, tmp_path):
    (tmp_path / 'folder.py').mkdir()
    (tmp_path / 'base.py').write_text("model = dict(type='A')")
    path, content = tmp_path / 'config.py', CONFIGS[kind]
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SystemExit, match=f'config {path} cannot be read: '):
        read_config(parse(str(path)))
    with pytest.raises(SystemExit, match=f'config {path.parent} cannot be read: '):
        read_config(parse(str(path.parent)))


@pytest.mark.parametrize('base', ('a', 'b'))
def test_circles_of_configs(tmp_path, base):
    (tmp_path / 'a.py').write_text(f"_base_ = './{base}.py'")
    (tmp_path / 'b.py').write_text("_base_ = './a.py'")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)  # which is reached sooner
    try:
        with pytest.raises(SystemExit, match='its _base_ leads back to it'):
            read_config(parse(str(tmp_path / 'a.py')))
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize('option', ('depth', 'a="[1,(2]"', ''))
def test_options_without_values(option, capsys):
    with pytest.raises(SystemExit, match='2'):
        parse('config.py', '--cfg-options', option)
    assert '--cfg-options takes KEY=VALUE, got' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('given', 'value'),
    (
        ('/my runs/epoch_1.pth', '/my runs/epoch_1.pth'),
        ('"/my runs (old)/epoch_1.pth"', '/my runs (old)/epoch_1.pth'),
        ('two  spaces', 'two  spaces'),
        (' 18 ', 18),
        ('a=b c', 'a=b c'),
        ('1, 2', [1, 2]),
        ('( [ 1 , true ], "a" )', ([1, True], 'a')),
    ),
)
def test_spaces_in_values(read, given, value):
    assert read('--cfg-options', f'a.b={given}').a.b == value


@pytest.mark.parametrize('given', ('[my runs, b]', 'my runs,b', '[(a, my runs)]', '[a] [b]'))
def test_spaces_that_would_be_lost(read, given, capsys):
    with pytest.raises(SystemExit, match='2'):
        read('--cfg-options', f'a={given}')
    assert f'got a={given}: spaces within the items of a list' in capsys.readouterr().err


@pytest.mark.parametrize(
    'given', ("dict(type='mmdia.RLA', ratio=4)", 'f(x,y)', 'a[1,2]', '(1),(2)')
)
def test_commas_that_cannot_be_read(read, given, capsys):
    with pytest.raises(SystemExit, match='2'):
        read('--cfg-options', f'a={given}')
    assert f'got a={given}: a comma in brackets' in capsys.readouterr().err


def test_folders_that_are_written_to(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(SystemExit, match=r'work dir .*file/run cannot be written: '):
        check_folder('work dir', tmp_path / 'file' / 'run')
    check_folder('work dir', tmp_path / 'new' / 'run')
    assert not list((tmp_path / 'new' / 'run').iterdir())


def test_runner_that_builds_its_model_later(tmp_path):
    model = dict(type='mmdia.ResNet', depth=18)
    entries = dict(runner_type='FlexibleRunner', work_dir=str(tmp_path), env_cfg={})
    cfg = Config(dict(entries, model=model))
    assert build_runner(cfg).model == model


@pytest.mark.parametrize('option', ('default_scope.depth=1', 'train_dataloader.batch_size.a=1'))
def test_options_that_do_not_fit(read, option):
    with pytest.raises(SystemExit, match=r'--cfg-options do not fit .*my_config\.py: '):
        read('--cfg-options', option)


def dump(source, work_dir, **changes):
    """Dump a config as a run does, and give the name of the dump and of the run."""
    cfg = Config.fromfile(source)
    cfg.merge_from_dict(dict(changes, work_dir=str(work_dir)))
    spare_files(cfg)
    assert '_filename' not in cfg
    name = Path(cfg.filename).name
    work_dir.mkdir(exist_ok=True)
    cfg.dump(work_dir / name)
    return name, cfg.get('experiment_name')


@pytest.fixture
def sources(tmp_path):
    (tmp_path / 'base').mkdir()
    (tmp_path / 'base' / 'my.py').write_text('a = 1\n')
    (tmp_path / 'my.py').write_text("_base_ = './base/my.py'\n")
    yield tmp_path
    assert (tmp_path / 'base' / 'my.py').read_text() == 'a = 1\n'
    assert (tmp_path / 'my.py').read_text() == "_base_ = './base/my.py'\n"


@pytest.mark.parametrize('folder', ('', 'base'))
def test_dump_leaves_its_sources(folder, sources):
    for _ in range(2):
        assert dump(sources / 'my.py', sources / folder) == ('my_dump.py', 'my')


def test_dump_replaces_earlier_ones(sources):
    for _ in range(2):
        assert dump(sources / 'my.py', sources / 'run') == ('my.py', None)


def test_dump_leaves_whatever_is_no_dump(sources):
    run = sources / 'run'
    run.mkdir()
    (run / 'my.py').write_text('a = 2\n')
    (run / 'my_dump.py').write_text("work_dir = 'elsewhere'\n")
    (run / 'my_dump_2.py').mkdir()
    (run / 'my_dump_3.py').symlink_to('none')
    for _ in range(2):
        assert dump(sources / 'my.py', run) == ('my_dump_4.py', 'my')
    assert (run / 'my.py').read_text() == 'a = 2\n'
    assert (run / 'my_dump.py').read_text() == "work_dir = 'elsewhere'\n"


def test_names_of_dumps_do_not_grow(sources):
    run = sources / 'run'
    dump(sources / 'my.py', run)
    assert dump(run / 'my.py', run) == ('my.py', None)  # the same again
    for value in (2, 3):
        assert dump(run / 'my.py', run, a=value) == ('my_dump.py', 'my')
    assert dump(run / 'my_dump.py', run) == ('my_dump.py', 'my')
    for value in (4, 5):
        assert dump(run / 'my_dump.py', run, a=value) == ('my_dump_2.py', 'my')
    assert dump(run / 'my_dump_2.py', run, a=6) == ('my_dump.py', 'my')
    assert [Config.fromfile(path).a for path in sorted(run.iterdir())] == [1, 6, 5]


@pytest.mark.parametrize('kind', ('json', 'yml'))
def test_dumps_of_other_kinds(kind, tmp_path):
    content = dict(json='{"a": 1}', yml='a: 1\n')[kind]
    (tmp_path / f'my.{kind}').write_text(content)
    for _ in range(2):
        assert dump(tmp_path / f'my.{kind}', tmp_path / 'run') == (f'my.{kind}', None)
        assert dump(tmp_path / f'my.{kind}', tmp_path) == (f'my_dump.{kind}', 'my')
    assert (tmp_path / f'my.{kind}').read_text() == content


def test_home_folder_in_options(read, monkeypatch, tmp_path):
    """Shells leave the ``~`` of ``--out=~/x`` as it is."""
    monkeypatch.setenv('HOME', str(tmp_path))
    assert read('--work-dir=~/run').work_dir == str(tmp_path / 'run')
    parser = ArgumentParser()
    add_out_argument(parser, 'a.png')
    assert parser.parse_args(['--out=~/b.png']).out == tmp_path / 'b.png'


def test_path_options_of_tools_know_the_home_folder():
    option = re.compile(r"'(--[\w-]+)',[^()]*?type=Path\b")
    tools = ROOT / 'tools'
    found = {path.name: option.findall(path.read_text()) for path in tools.rglob('*.py')}
    assert {name for name, options in found.items() if options} <= {'reproduce.py'}
