"""The check of data refuses what cannot run, and nothing else."""

import json
from pathlib import Path

import cv2
import mmdet.datasets
import mmpretrain.datasets
import numpy as np
import pytest
from mmengine.config import Config

from mmdia.apis.data_check import check_data, needed_data

CONFIGS = Path(__file__).parents[2] / 'configs'
BASES = sorted(path.stem for path in (CONFIGS / '_base_' / 'datasets').glob('*.py'))
LIBRARIES = {'mmpretrain': mmpretrain.datasets, 'mmdet': mmdet.datasets}
LOAD = dict(type='LoadImageFromFile')
MEMORY = dict(type='LoadImageFromFile', backend_args=dict(backend='memory'))

CUSTOM = dict(type='CustomDataset', data_root='data/folder')
IMAGENET = dict(type='ImageNet', data_root='data/folder', classes=('cat',))
COCO = dict(type='CocoDataset', data_root='data/coco/', ann_file='annotations/val.json')
COCO_IMAGES = dict(COCO, data_prefix=dict(img='val2017/'))
CIFAR = dict(type='CIFAR100', data_root='data/cifar100')


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    """A working folder with a little of the usual data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('HOME', str(tmp_path))
    images = ('folder/train/cat/0.png', 'folder/all/cat/0.png', 'coco/val2017/0.png')
    for image in images:
        write(f'data/{image}', cv2.imencode('.png', np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    write('data/folder/meta/all.txt', b'cat/0.png 0\n')
    write('data/folder/meta/val.txt', b'cat/0.png 0\n')
    write('data/folder/meta/absolute.txt', f'{tmp_path}/data/folder/all/cat/0.png 0\n'.encode())
    write('data/folder/meta/working.txt', b'data/folder/all/cat/0.png 0\n')
    absolute = Path('data/folder/meta/absolute.txt').read_bytes()
    write('data/listed/meta/train.txt', absolute)
    write('data/coco/annotations/val.json', coco('0.png'))
    write('data/coco/annotations/absolute.json', coco(f'{tmp_path}/data/coco/val2017/0.png'))
    return tmp_path / 'data'


def write(path, content):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(content)


def coco(name):
    """An annotation file with one image; neither the link nor the mask is its path."""
    image = dict(id=1, file_name=name, coco_url='http://there/0.png', height=8, width=8)
    box = dict(id=1, image_id=1, category_id=1, bbox=[1, 1, 4, 4], area=16, iscrowd=0)
    box['segmentation'] = dict(size=[8, 8], counts='\\0')
    category = dict(id=1, name='person')
    return json.dumps(dict(images=[image], annotations=[box], categories=[category])).encode()


def scope_of(dataset):
    return 'mmdet' if hasattr(mmdet.datasets, str(dataset['type'])) else 'mmpretrain'


def check(dataset, part='test', **entries):
    """What the check says of a dataset: None, or (entry, path)."""
    cfg = {'default_scope': scope_of(dataset), f'{part}_dataloader': dict(dataset=dataset)}
    return said(Config({**cfg, **entries}), part)


def said(cfg, *parts):
    try:
        check_data(cfg, *parts)
    except SystemExit as error:
        entry, _, rest = error.code.partition(': ')
        path, _, hint = rest.partition(' ')
        assert hint == 'does not exist; see docs/datasets.md for the layout'
        return entry.replace('test_dataloader.dataset.', ''), path
    return None


def runs(dataset):
    """Whether the library can read an image of a dataset."""
    module = LIBRARIES[scope_of(dataset)]
    try:
        built = getattr(module, dataset['type'])(
            **{key: value for key, value in dataset.items() if key != 'type'}
        )
        return built[0]['img'].shape == (8, 8, 3)
    except (OSError, RuntimeError):
        return False


@pytest.mark.parametrize(
    ('dataset', 'missing'),
    (
        # A tree of folders
        (dict(CUSTOM, data_prefix='train'), None),
        (dict(CUSTOM, data_prefix=dict(img_path='train')), None),
        (dict(CUSTOM, data_root='data/folder/train'), None),
        (dict(CUSTOM, data_root=Path('data/folder'), data_prefix='train'), None),
        (dict(CUSTOM, data_root='', data_prefix='data/folder/train'), None),
        (dict(CUSTOM, data_root=None, data_prefix='data/folder/train'), None),
        (dict(CUSTOM, data_root='nowhere', data_prefix='~/data/folder/train'), None),
        (dict(CUSTOM, data_root='nowhere'), ('data_root', 'nowhere')),
        (dict(CUSTOM, data_root='nowhere', data_prefix='train'), ('data_root', 'nowhere')),
        (dict(CUSTOM, data_prefix='nowhere'), ('data_prefix', 'data/folder/nowhere')),
        (
            dict(CUSTOM, data_prefix=dict(img_path='nowhere')),
            ('data_prefix.img_path', 'data/folder/nowhere'),
        ),
        (dict(CUSTOM, data_root='', data_prefix='nowhere'), ('data_prefix', 'nowhere')),
        # A list of files
        (dict(CUSTOM, data_prefix='all', ann_file='meta/all.txt'), None),
        (dict(CUSTOM, data_prefix='all', ann_file='~/data/folder/meta/all.txt'), None),
        (dict(CUSTOM, data_prefix='nowhere', ann_file='meta/absolute.txt'), None),
        (dict(CUSTOM, data_root='', ann_file='data/folder/meta/absolute.txt'), None),
        (dict(CUSTOM, data_root='', ann_file='data/folder/meta/working.txt'), None),
        (
            dict(CUSTOM, data_root='nowhere', ann_file='~/data/folder/meta/absolute.txt'),
            None,
        ),
        (dict(CUSTOM, ann_file='no.txt'), ('ann_file', 'data/folder/no.txt')),
        (dict(CUSTOM, data_root='', ann_file='no.txt'), ('ann_file', 'no.txt')),
        (dict(CUSTOM, data_root='nowhere', ann_file='no.txt'), ('data_root', 'nowhere')),
        (
            dict(CUSTOM, data_prefix='nowhere', ann_file='meta/all.txt'),
            ('data_prefix', 'data/folder/nowhere'),
        ),
        # ImageNet
        (dict(IMAGENET, split='train'), None),
        (dict(IMAGENET, split='val', data_prefix='all'), None),
        (dict(IMAGENET, split='val', data_prefix='all', ann_file='meta/all.txt'), None),
        (dict(IMAGENET, split='train', data_root='data/listed'), None),
        (dict(IMAGENET, data_prefix='train'), None),
        (dict(IMAGENET, split='train', data_root='nowhere'), ('data_root', 'nowhere')),
        (dict(IMAGENET, split='test'), ('split', 'data/folder/test')),
        (dict(IMAGENET, split='val'), ('split', 'data/folder/val')),
        # COCO
        (COCO_IMAGES, None),
        (dict(COCO, data_prefix=dict(img='val2017', seg='nowhere')), None),
        (
            dict(COCO_IMAGES, data_root=None, ann_file='data/coco/annotations/val.json'),
            ('data_prefix.img', 'val2017/'),
        ),
        (
            dict(COCO, ann_file='annotations/absolute.json', data_prefix=dict(img='nowhere')),
            None,
        ),
        (dict(COCO_IMAGES, data_root='nowhere/'), ('data_root', 'nowhere/')),
        (dict(COCO_IMAGES, ann_file='no.json'), ('ann_file', 'data/coco/no.json')),
        (dict(COCO, data_prefix=dict(img='no/')), ('data_prefix.img', 'data/coco/no/')),
        # Others
        (dict(CIFAR, download=False), ('data_root', 'data/cifar100')),
        (dict(type='Food101', data_root='nowhere'), ('data_root', 'nowhere')),
        (dict(type='CUB', data_root='nowhere'), ('data_root', 'nowhere')),
    ),
    ids=str,
)
def test_refuses_what_cannot_run_and_only_that(dataset, missing):
    dataset = dict(dataset, pipeline=[LOAD])
    assert check(dataset) == missing
    assert runs(dataset) == (missing is None)


@pytest.mark.parametrize(
    'dataset',
    (
        CIFAR,
        dict(type='MNIST', data_root='nowhere', download=True),
        dict(type='mmdia.DigitsDataset'),
        dict(type='mmdia.ShapesDataset', data_root='nowhere'),
        dict(type='MyDataset', data_root='nowhere', ann_file='no.txt'),
        dict(type='mine.CustomDataset', data_root='nowhere'),
        dict(CUSTOM, data_root='s3://bucket/there', data_prefix='train'),
        dict(CUSTOM, data_prefix='all', ann_file='s3://bucket/all.txt'),
        dict(CUSTOM, data_prefix='nowhere', ann_file='meta/all.txt', pipeline=[MEMORY]),
        dict(CUSTOM, data_prefix='nowhere', ann_file='meta/all.txt', pipeline=[]),
        dict(IMAGENET, data_root='s3://bucket/there', split='val'),
        dict(COCO_IMAGES, data_root='nowhere', backend_args=dict(backend='petrel')),
        dict(COCO, data_prefix=dict(img='s3://bucket/val2017'), pipeline=[LOAD]),
        dict(COCO, data_prefix=dict(img='no'), ann_file='s3://bucket/val.json', pipeline=[LOAD]),
        dict(type='CUB', data_root=''),
        object(),
        None,
    ),
    ids=str,
)
def test_lets_through_what_needs_no_files_here(dataset):
    if isinstance(dataset, dict):
        assert check(dataset) is None
    else:
        assert said(Config(dict(test_dataloader=dict(dataset=dataset))), 'test') is None


@pytest.mark.parametrize(
    'name',
    (
        'mmpretrain.CustomDataset',
        'mmpretrain.datasets.CustomDataset',
        mmpretrain.datasets.CustomDataset,
    ),
    ids=str,
)
def test_ways_to_name_a_type(name):
    found = check(dict(type=name, data_root='nowhere'), default_scope='mmdet')
    assert found == ('data_root', 'nowhere')
    found = check(dict(CUSTOM, data_root='nowhere', _scope_='mmpretrain'), default_scope=None)
    assert found == ('data_root', 'nowhere')


def test_wrappers():
    good, bad = dict(CUSTOM, data_prefix='train'), dict(CUSTOM, data_root='nowhere')
    repeated = dict(type='RepeatDataset', times=2, dataset=bad)
    concatenated = dict(type='ConcatDataset', datasets=[good, repeated])
    balanced = dict(type='ClassBalancedDataset', oversample_thr=0.1, dataset=concatenated)
    assert check(balanced) == ('dataset.datasets.1.dataset.data_root', 'nowhere')
    assert check(dict(type='ConcatDataset', datasets=[good, good])) is None


def test_parts():
    loader = dict(dataset=dict(CUSTOM, data_root='nowhere'))
    cfg = Config(dict(default_scope='mmpretrain', val_dataloader=loader, test_dataloader=None))
    assert said(cfg, 'train') is None and said(cfg, 'test') is None
    found = ('val_dataloader.dataset.data_root', 'nowhere')
    assert said(cfg, 'val') == said(cfg, 'train', 'val') == found


def test_annotations_of_the_evaluator():
    metric = dict(type='CocoMetric', ann_file='no.json')
    evaluators = {
        'test_evaluator': metric,
        'test_evaluator.1': [dict(type='VOCMetric'), metric],
    }
    for key, evaluator in evaluators.items():
        found = check(COCO_IMAGES, test_evaluator=evaluator)
        assert found == (f'{key}.ann_file', 'no.json')
    for change in (
        dict(ann_file='data/coco/annotations/val.json'),
        dict(ann_file=None),
        dict(ann_file='s3://bucket/val.json'),
        dict(backend_args=dict(backend='petrel')),
        dict(type='MyMetric'),
    ):
        assert check(COCO_IMAGES, test_evaluator=metric | change) is None


def test_annotations_are_read_only_if_the_images_are_missing(monkeypatch):
    dataset = dict(COCO_IMAGES, pipeline=[LOAD])
    cfg = Config(dict(default_scope='mmdet', test_dataloader=dict(dataset=dataset)))
    monkeypatch.setattr('builtins.open', None)
    keys = [key.rpartition('dataset.')[2] for key, _ in needed_data(cfg, 'test')]
    assert keys == ['data_root', 'ann_file', 'data_root', 'data_prefix.img']


@pytest.mark.parametrize('base', BASES)
def test_shipped_datasets(base):
    cfg = Config.fromfile(CONFIGS / '_base_' / 'datasets' / f'{base}.py')
    cfg.default_scope = 'mmpretrain'
    for part in ('train', 'val', 'test'):
        root = cfg[f'{part}_dataloader'].dataset.data_root
        downloads = cfg[f'{part}_dataloader'].dataset.type in ('CIFAR10', 'CIFAR100')
        entry = 'data_root' if part == 'test' else f'{part}_dataloader.dataset.data_root'
        assert said(cfg, part) == (None if downloads else (entry, root))


@pytest.mark.parametrize(
    ('config', 'root'),
    (
        ('demo/dia-resnet18_digits.py', None),
        ('demo/faster-rcnn_dia-r18_fpn_shapes.py', None),
        ('dia/dia-resnet164_b128-180e_cifar100.py', None),
        ('dia/dia-resnet50_8xb32_in1k.py', 'data/imagenet'),
        ('dia/faster-rcnn_dia-r50_fpn_1x_coco.py', 'data/coco/'),
    ),
)
def test_shipped_configs(config, root, data):
    data.rename('elsewhere')
    cfg = Config.fromfile(CONFIGS / config)
    found = said(cfg, 'train', 'val')
    assert found == (root and ('train_dataloader.dataset.data_root', root))
    assert said(cfg, 'test') == (root and ('data_root', root))
