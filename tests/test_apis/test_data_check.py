"""The check of data refuses what cannot run, and lets through what can."""

from pathlib import Path

import pytest
from mmengine.config import Config

from mmdia.apis.data_check import check_data

CONFIGS = Path(__file__).parents[2] / 'configs'
CUSTOM = dict(type='CustomDataset', data_root='data/folder')
COCO = dict(type='CocoDataset', data_root='data/coco/', ann_file='annotations/val.json')


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    """A working folder with a little of the usual data."""
    monkeypatch.chdir(tmp_path)
    for path in ('folder/train/cat/0.png', 'coco/annotations/val.json', 'coco/val2017/0.jpg'):
        path = tmp_path / 'data' / path
        path.parent.mkdir(parents=True)
        path.touch()
    return tmp_path / 'data'


def check(**cfg):
    check_data(Config(cfg), 'test')


@pytest.mark.parametrize(
    ('dataset', 'message'),
    (
        (dict(CUSTOM, data_root='none'), 'data_root: none does not exist'),
        (dict(CUSTOM, data_prefix='val'), 'data_prefix: data/folder/val does not exist'),
        (dict(CUSTOM, ann_file='meta/a.txt'), 'ann_file: data/folder/meta/a.txt does not exist'),
        (dict(type='CustomDataset', data_prefix='none'), 'data_prefix: none does not exist'),
        (dict(type='mmpretrain.ImageNet', data_root='none'), 'data_root: none does not exist'),
        (dict(COCO, data_root='none/'), 'data_root: none/ does not exist'),
        (dict(COCO, ann_file='a.json'), 'ann_file: data/coco/a.json does not exist'),
        (dict(COCO, ann_file='/none/a.json'), 'ann_file: /none/a.json does not exist'),
        (
            dict(COCO, data_root='none', ann_file='/none/a.json'),
            'ann_file: /none/a.json does not exist',
        ),
    ),
)
def test_missing_data_are_named(dataset, message):
    with pytest.raises(SystemExit, match=rf'^test_dataloader\.dataset\.{message}; see docs/data'):
        check(test_dataloader=dict(dataset=dataset))


@pytest.mark.parametrize(
    'dataset',
    (
        CUSTOM,
        dict(CUSTOM, data_prefix='train'),
        dict(CUSTOM, data_prefix=dict(img_path='train')),
        dict(COCO, data_prefix=dict(img='val2017/')),
        dict(type='ImageNet', data_root='data/folder', split='train'),
        # what reads from elsewhere, downloads itself, or is none of ours
        dict(CUSTOM, data_root='s3://bucket/data'),
        dict(COCO, data_root='none', backend_args=dict(backend='petrel')),
        dict(type='CIFAR100', data_root='none'),
        dict(type='mmdia.DigitsDataset'),
        dict(type='OwnDataset', data_root='none', ann_file='none'),
    ),
)
def test_what_can_run_is_let_through(dataset):
    check(test_dataloader=dict(dataset=dataset))


def test_absolute_and_home_paths(data, monkeypatch):
    monkeypatch.setenv('HOME', str(data))
    check(
        test_dataloader=dict(
            dataset=dict(COCO, data_root='none', ann_file='~/coco/annotations/val.json')
        )
    )
    ann_file = str(data / 'coco' / 'annotations' / 'val.json')
    check(test_dataloader=dict(dataset=dict(COCO, data_root='none', ann_file=ann_file)))


def test_wrappers():
    concat = dict(type='ConcatDataset', datasets=[CUSTOM, dict(CUSTOM, data_root='none')])
    repeat = dict(type='RepeatDataset', times=2, dataset=concat)
    with pytest.raises(SystemExit, match=r'test_dataloader\.dataset\.dataset\.datasets\.1\.data_r'):
        check(test_dataloader=dict(dataset=repeat))


def test_only_the_parts_that_run_are_checked():
    missing = dict(dataset=dict(CUSTOM, data_root='none'))
    cfg = Config(dict(train_dataloader=missing, val_dataloader=None))
    check_data(cfg, 'val', 'test')
    with pytest.raises(SystemExit, match='train_dataloader'):
        check_data(cfg, 'val', 'train')


@pytest.mark.parametrize('as_list', (False, True))
def test_annotations_of_the_metric(as_list):
    metric = dict(type='CocoMetric', ann_file='none.json')
    with pytest.raises(SystemExit, match=r'test_evaluator\.(0\.)?ann_file: none\.json'):
        check(test_evaluator=[metric] if as_list else metric)
    check(test_evaluator=dict(metric, ann_file='data/coco/annotations/val.json'))


@pytest.mark.parametrize(
    ('config', 'missing'),
    (
        ('lsa/resnet164_b128-164e_stl10.py', 'data/stl10'),
        ('lsa/resnet18_8xb32-120e_mini-in.py', 'data/mini-imagenet'),
        ('lsa/resnet50_8xb32-120e_chest-xray.py', 'data/chest_xray'),
        ('dia/dia-resnet50_8xb32_in1k.py', 'data/imagenet'),
        ('dia/dia-resnet18_b128-5e_cifar100-folder.py', 'data/cifar100'),
        ('dia/mask-rcnn_dia-r50_fpn_1x_coco.py', 'data/coco/annotations/instances_train2017.json'),
        ('dia/resnet164_b128-180e_cifar10.py', None),
        ('demo/dia-resnet18_digits.py', None),
        ('demo/faster-rcnn_dia-r18_fpn_shapes.py', None),
    ),
)
def test_shipped_configs(config, missing):
    cfg = Config.fromfile(CONFIGS / config)
    if missing is None:
        check_data(cfg, 'train', 'val')
        return
    with pytest.raises(SystemExit, match=f': {missing}'):
        check_data(cfg, 'train', 'val')
