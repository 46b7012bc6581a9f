"""The options of the tools, by their effect on a config."""

from argparse import ArgumentParser

import pytest
from mmengine.config import Config

from mmdia.apis.command_line import add_common_arguments, read_config, spare_source

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


def test_missing_config():
    parser = ArgumentParser()
    parser.add_argument('config')
    add_common_arguments(parser)
    with pytest.raises(FileNotFoundError, match='no_such_config'):
        read_config(parser.parse_args(['no_such_config.py']))


@pytest.mark.parametrize(
    'bases',
    (dict(a="_base_ = './a.py'"), dict(a="_base_ = ['./b.py']", b="_base_ = './a.py'")),
    ids=('itself', 'each other'),
)
def test_config_that_inherits_from_itself(bases, tmp_path):
    for name, text in bases.items():
        (tmp_path / f'{name}.py').write_text(text)
    parser = ArgumentParser()
    parser.add_argument('config')
    add_common_arguments(parser)
    with pytest.raises(SystemExit, match=r'a\.py: its _base_ leads back to itself'):
        read_config(parser.parse_args([str(tmp_path / 'a.py')]))


def test_dump_leaves_its_sources(tmp_path):
    (tmp_path / 'base').mkdir()
    (tmp_path / 'base' / 'my.py').write_text('a = 1\n')
    (tmp_path / 'my.py').write_text("_base_ = './base/my.py'\n")
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / 'my.py').write_text('a = 2\n')  # the dump of another run
    for folder, name in (
        ('', 'my_dump.py'),
        ('base', 'my_dump.py'),
        ('run', 'my.py'),
        ('x', 'my.py'),
    ):
        cfg = Config.fromfile(tmp_path / 'my.py')
        cfg.work_dir = str(tmp_path / folder)
        spare_source(cfg)
        assert cfg.filename == str(tmp_path / name) and '_filename' not in cfg
