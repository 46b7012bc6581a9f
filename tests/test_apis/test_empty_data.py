"""Data loaders without data stop the tools with a message that names them."""

import json
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from mmdia.apis.command_line import build_runner
from mmdia.apis.empty_data import refuse_empty_data

ROOT = Path(__file__).parents[2]
HINT = '; filter_cfg drops images that are small or have no boxes of the classes'
DETECTOR = f"""
_base_ = {str(ROOT / 'configs' / 'demo' / 'faster-rcnn_dia-r18_fpn_shapes.py')!r}
model = dict(backbone=dict(base_channels=8), neck=dict(in_channels=[16, 32, 64]))
dataset = dict(
    _delete_=True,
    type='CocoDataset',
    metainfo=dict(classes=('box',)),
    ann_file='good.json',
    data_prefix=dict(img='images'),
    pipeline=[],
)
train_dataloader = dict(dataset=dict(dataset, filter_cfg=dict(filter_empty_gt=True)))
val_dataloader = dict(dataset=dict(dataset, test_mode=True))
test_dataloader = val_dataloader
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with annotations of boxes, of none, of another class, and of nothing."""
    monkeypatch.chdir(tmp_path)
    # Most of the time would go into the layout of the config that a run keeps.
    monkeypatch.setattr('yapf.yapflib.yapf_api.FormatCode', lambda text, **_: (text, False))
    image = dict(id=1, file_name='a.jpg', width=64, height=64)
    box = dict(id=1, image_id=1, category_id=1, bbox=[8, 8, 32, 32], area=1024, iscrowd=0)
    categories = [dict(id=1, name='box'), dict(id=2, name='ball')]
    for name, images, annotations in (
        ('good', [image], [box]),
        ('without_boxes', [image], []),
        ('other_class', [image], [dict(box, category_id=2)]),
        ('without_images', [], []),
    ):
        content = dict(images=images, annotations=annotations, categories=categories)
        Path(f'{name}.json').write_text(json.dumps(content))
    Path('config.py').write_text(DETECTOR)
    return tmp_path


@pytest.fixture
def build(folder):
    numbers = count()

    def make(**options):
        cfg = Config.fromfile('config.py')
        # Runs of one name and second would share what MMEngine keeps of them by name.
        cfg.experiment_name = f'{folder.name}_{next(numbers)}'
        cfg.work_dir = 'run'
        cfg.merge_from_dict({key.replace('__', '.'): value for key, value in options.items()})
        return build_runner(cfg)

    return make


def said(function):
    with pytest.raises(SystemExit) as error:
        function()
    return error.value.code


@pytest.mark.parametrize('serialize', (True, False))
@pytest.mark.parametrize('name', ('without_boxes', 'other_class', 'without_images'))
def test_training(build, name, serialize):
    runner = build(
        train_dataloader__dataset__ann_file=f'{name}.json',
        train_dataloader__dataset__serialize_data=serialize,
    )
    filters = "{'filter_empty_gt': True}"
    place = f'train_dataloader.dataset (ann_file {name}.json, filter_cfg {filters})'
    assert said(runner.train) == f'{place}: no images{HINT}'


def test_validation_and_test(build, folder):
    runner = build(val_dataloader__dataset__ann_file='without_images.json')
    message = 'val_dataloader.dataset (ann_file without_images.json): no images'
    assert said(runner.train) == said(runner.val) == message

    options = dict(ann_file='without_images.json', data_root=str(folder))
    runner = build(**{f'test_dataloader__dataset__{key}': value for key, value in options.items()})
    place = f'test_dataloader.dataset (data_root {folder}, ann_file without_images.json)'
    assert said(runner.test) == f'{place}: no images'


def test_wrapped_datasets(build):
    empty = build().cfg.train_dataloader.dataset.copy()
    empty.ann_file = 'without_boxes.json'
    both = dict(type='ConcatDataset', datasets=[empty, empty])
    runner = build(
        train_dataloader__dataset=dict(_delete_=True, type='RepeatDataset', dataset=both, times=2)
    )
    message = said(runner.train)
    for i in range(2):
        assert f'train_dataloader.dataset.dataset.datasets.{i} (ann_file without_b' in message


def test_classification(tmp_path):
    (tmp_path / 'train.txt').write_text('')
    cfg = Config.fromfile(ROOT / 'configs' / 'demo' / 'dia-resnet18_digits.py')
    cfg.work_dir = str(tmp_path / 'run')
    cfg.train_dataloader.dataset = dict(
        type='CustomDataset', data_root=str(tmp_path), ann_file='train.txt', pipeline=[]
    )
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    place = f'train_dataloader.dataset (data_root {tmp_path}, ann_file train.txt)'
    assert said(build_runner(cfg).train) == f'{place}: no images'


def test_loaders_with_data_are_built_as_before(build):
    runner = build()
    loader = runner.build_dataloader(runner.cfg.train_dataloader, 7)
    assert len(loader.dataset) == 1 and loader.sampler.seed == 7
    options = dict(seed=7, diff_rank_seed=True)
    loader = runner.build_dataloader(runner.cfg.train_dataloader, **options)
    theirs = Runner.build_dataloader(runner.cfg.train_dataloader, **options)
    assert loader.sampler.seed != 7  # drawn
    assert loader.worker_init_fn.keywords == theirs.worker_init_fn.keywords
    assert runner.build_dataloader(loader) is loader


class Loader:
    def __init__(self, dataset):
        self.dataset = dataset


def test_other_errors_and_endless_data_pass():
    class Fake:
        def build_dataloader(self, dataloader):
            if dataloader == 'bad':
                raise ValueError('bad')
            return Loader(iter(()))

    runner = Fake()
    refuse_empty_data(runner)
    with pytest.raises(ValueError, match='bad'):
        runner.build_dataloader('bad')
    assert isinstance(runner.build_dataloader('endless'), Loader)  # has no length

    Fake.build_dataloader = lambda self, dataloader: Loader([])
    runner = Fake()
    refuse_empty_data(runner)
    assert said(lambda: runner.build_dataloader(object())) == 'data loader: no images'


def test_tool(folder):
    options = ('--cfg-options', 'train_dataloader.dataset.ann_file=without_boxes.json')
    command = [sys.executable, str(ROOT / 'tools' / 'train.py'), 'config.py', *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert done.stderr.splitlines()[-1].startswith('train_dataloader.dataset (ann_file without_b')
