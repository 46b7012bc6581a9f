"""Data that are missing, damaged, or do not fit stop the tools before they start, and are named."""

import json
import logging
import os
import sys
from importlib import metadata
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmdet.models import BaseReID
from mmengine.config import ConfigDict
from mmengine.runner import BaseLoop, Runner
from mmpretrain.models import ImageToImageRetriever
from torch import nn
from torch.utils.data import DataLoader

from mmdia.cli import data_faults
from mmdia.cli.data_check import (
    DataCheckHook,
    check_data,
    check_samples,
    entry_of,
    number_of_classes,
)
from mmdia.cli.file_reads import LastFileRead

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs'
# With types, as in MMDetection's configs: MMEngine copies the lists that such loops get.
LOOPS = dict(
    train=dict(type='EpochBasedTrainLoop', max_epochs=1),
    val=dict(type='ValLoop'),
    test=dict(type='TestLoop'),
)
CLASSES = ('cat', 'dog')
PANOPTIC = (*CLASSES, 'sky')
IMAGES = ('a.png', 'b.png')
# One box an image, of each class one: COCO's x, y, width, height; VOC's corners from 1.
COCO = dict(
    type='mmdet.CocoDataset',
    ann_file='coco.json',
    data_prefix=dict(img='images'),
    metainfo=dict(classes=CLASSES),
)
VOC = dict(
    type='mmdet.XMLDataset',
    ann_file='voc.txt',
    data_prefix=dict(sub_data_root=''),
    metainfo=dict(classes=CLASSES),
)
FOLDERS = dict(type='mmpretrain.CustomDataset', data_root='train')
LIST = dict(
    type='mmpretrain.CustomDataset',
    ann_file='list.txt',
    data_prefix='images',
    metainfo=dict(classes=CLASSES),
)
PLAIN = dict(
    type='mmdet.BaseDetDataset', ann_file='plain.json', data_prefix=dict(img_path='images')
)
DATASETS = dict(coco=COCO, voc=VOC, folders=FOLDERS, list=LIST, plain=PLAIN)
WRAPPERS = {
    'RepeatDataset': lambda dataset: dict(type='RepeatDataset', dataset=dataset, times=2),
    'ConcatDataset': lambda dataset: dict(type='ConcatDataset', datasets=[dataset]),
    'ClassBalancedDataset': lambda dataset: dict(
        type='ClassBalancedDataset', dataset=dataset, oversample_thr=0.1
    ),
    'MultiImageMixDataset': lambda dataset: dict(
        type='mmdet.MultiImageMixDataset', dataset=dataset, pipeline=[]
    ),
}


def write_xml(name, box=(9, 9, 41, 41), label='cat'):
    corners = ''.join(
        f'<{tag}>{value}</{tag}>' for tag, value in zip(('xmin', 'ymin', 'xmax', 'ymax'), box)
    )
    size = '<size><width>64</width><height>48</height></size>'
    found = f'<object><name>{label}</name><bndbox>{corners}</bndbox></object>'
    Path('Annotations', f'{name}.xml').write_text(f'<annotation>{size}{found}</annotation>')


def change(path, update):
    content = json.loads(Path(path).read_text())
    update(content)
    Path(path).write_text(json.dumps(content))


@pytest.fixture(autouse=True)
def folder(quick_runs, tmp_path, monkeypatch):
    """The current folder, with the same images as every kind of dataset."""
    monkeypatch.chdir(tmp_path)
    places = ('images', 'train/cat', 'train/dog', 'val/cat', 'val/dog', 'JPEGImages', 'Annotations')
    for place in places:
        Path(place).mkdir(parents=True)
        for name in IMAGES if place != 'Annotations' else ():
            name = name.replace('png', 'jpg') if place == 'JPEGImages' else name
            cv2.imwrite(f'{place}/{name}', np.zeros((48, 64, 3), np.uint8))
    images = [dict(id=i, file_name=f, width=64, height=48) for i, f in enumerate(IMAGES)]
    box = dict(bbox=[8, 8, 32, 32], area=1024, iscrowd=0)
    boxes = [dict(box, id=i, image_id=i, category_id=i + 1) for i in range(2)]
    categories = [dict(id=i + 1, name=name) for i, name in enumerate(CLASSES)]
    coco = dict(images=images, annotations=boxes, categories=categories)
    Path('coco.json').write_text(json.dumps(coco))
    Path('voc.txt').write_text('a\nb\n')
    for name, label in zip('ab', CLASSES):
        write_xml(name, label=label)
    Path('list.txt').write_text('a.png 0\nb.png 1\n')
    samples = [
        dict(img_path=f, width=64, height=48, instances=[dict(bbox=[8, 8, 40, 40], bbox_label=i)])
        for i, f in enumerate(IMAGES)
    ]
    plain = dict(metainfo=dict(classes=CLASSES), data_list=samples)
    Path('plain.json').write_text(json.dumps(plain))
    return tmp_path


class Model(nn.Module):
    """As much of a model as the check looks at."""

    def __init__(self, num_classes):
        super().__init__()
        self.head = nn.Linear(1, 1)
        self.head.num_classes = num_classes


NUMBERS = count()


def start(train=None, val=None, test=None, evaluator=None, num_classes=2, checkpoint=None):
    """Build the loops of a run and begin it; returns its datasets."""
    entries = {}
    for part, dataset in dict(train=train, val=val, test=test).items():
        if dataset is None:
            continue
        entries[f'{part}_dataloader'] = dict(
            batch_size=1, sampler=dict(type='DefaultSampler', shuffle=False), dataset=dataset
        )
        entries[f'{part}_cfg'] = LOOPS[part]
        if part != 'train':
            entries[f'{part}_evaluator'] = evaluator or dict(type='mmengine.DumpResults') | dict(
                out_file_path='out.pkl'
            )
    if train:
        entries['optim_wrapper'] = dict(optimizer=dict(type='SGD', lr=0.1))
    name = f'check_{os.getpid()}_{next(NUMBERS)}'
    runner = Runner(Model(num_classes), 'run', experiment_name=name, **ConfigDict(entries))
    check_data(runner)
    for part in ('train', 'val', 'test'):
        loop = getattr(runner, f'_{part}_loop')
        if loop is not None:
            setattr(runner, f'_{part}_loop', getattr(runner, f'build_{part}_loop')(loop))
    runner.call_hook('before_run')
    if checkpoint is not None:
        runner.call_hook('after_load_checkpoint', checkpoint=checkpoint)
    loops = (runner._train_loop, runner._val_loop, runner._test_loop)
    return [loop.dataloader.dataset for loop in loops if loop is not None]


def said(**parts):
    """The message of a run that is refused."""
    with pytest.raises(SystemExit) as error:
        start(**parts)
    assert isinstance(error.value.code, str)
    return error.value.code


@pytest.fixture
def warned(monkeypatch):
    """What the check warns of."""
    lines = []

    def keep(text, logger=None, level=logging.INFO):
        lines.append(text)

    monkeypatch.setattr('mmdia.cli.data_check.print_log', keep)
    return lines


@pytest.mark.parametrize('dataset', DATASETS.values(), ids=DATASETS)
def test_good_data(dataset, warned):
    start(train=dataset, val=dict(dataset, test_mode=True))
    start(test=dataset, checkpoint=dict(meta=dict(dataset_meta=dict(classes=list(CLASSES)))))
    assert not warned


# Annotation files that cannot be read: (dataset, part of it to spoil)
FILES = (
    (COCO, 'coco.json'),
    (VOC, 'voc.txt'),
    (VOC, 'Annotations/b.xml'),
    (LIST, 'list.txt'),
    (PLAIN, 'plain.json'),
)
SPOILS = {
    'truncated': lambda path: path.write_bytes(path.read_bytes()[:-5]),
    'empty': lambda path: path.write_bytes(b''),
    'utf-16': lambda path: path.write_text(path.read_text(), encoding='utf-16'),
    'binary': lambda path: path.write_bytes(bytes(range(128, 256))),
    'folder': lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize('spoil', SPOILS)
@pytest.mark.parametrize(('dataset', 'file'), FILES, ids=[file for _, file in FILES])
def test_damaged_annotations_are_named(dataset, file, spoil):
    SPOILS[spoil](Path(file))
    if file == 'Annotations/b.xml' and spoil == 'utf-16':
        Path(file).write_bytes(Path(file).read_bytes()[:-1])  # XML says its encoding
    if file == 'voc.txt' and spoil == 'truncated':
        Path(file).write_text('a\nbc\n')
        file = 'Annotations/bc.xml'
    message = said(val=dataset)
    assert file in message and 'val_dataloader.dataset' in message


def without(*keys):
    def remove(content):
        *path, last = keys
        for key in path:
            content = content[key]
        del content[last]

    return remove


MISSING = {
    'images': 'no images',
    'annotations': 'no image has a box',
    'categories': 'categories',
    'images 0 file_name': 'file_name',
    'images 1 width': 'width',
    'images 1 id': 'id',
    'annotations 0 bbox': 'bbox',
    'annotations 1 area': 'area',
    'annotations 1 image_id': 'image_id',
    'annotations 0 category_id': 'category_id',
    'annotations 0 id': 'id',
    'categories 0 name': 'name',
    'categories 0': 'has 1 of the 2 classes',
}


@pytest.mark.parametrize('keys', MISSING)
def test_missing_keys_of_coco(keys):
    path = [int(key) if key.isdigit() else key for key in keys.split()]
    change('coco.json', without(*path))
    message = said(train=COCO)
    assert 'coco.json' in message and MISSING[keys] in message


@pytest.mark.parametrize('tag', ('name', 'bndbox', 'xmin', 'width'))
def test_missing_tags_of_voc(tag):
    path = Path('Annotations/b.xml')
    path.write_text(path.read_text().replace(f'{tag}>', f'other_{tag}>'))
    assert str(path) in said(train=VOC)


@pytest.mark.parametrize('text', ('a.png', 'a.png x\n', '\na.png 0\n'))
def test_wrong_lines_of_lists(text):
    Path('list.txt').write_text(text)
    assert 'list.txt' in said(train=LIST)


@pytest.mark.parametrize(
    ('dataset', 'message'),
    (
        (dict(FOLDERS, data_root='none'), 'data_root: none does not exist'),
        (dict(FOLDERS, data_prefix='val2'), 'data_prefix: train/val2 does not exist'),
        (dict(LIST, ann_file='meta/a.txt'), 'ann_file: meta/a.txt does not exist'),
        (dict(COCO, data_root='none/'), 'data_root: none/ does not exist'),
        (dict(COCO, ann_file='/none/a.json'), 'ann_file: /none/a.json does not exist'),
        (dict(COCO, data_root='none', ann_file='/none/a.json'), 'ann_file: /none/a.json does not'),
        (dict(VOC, ann_file='a.txt'), 'ann_file: a.txt does not exist'),
        (dict(PLAIN, ann_file='a.json'), 'ann_file: a.json does not exist'),
    ),
)
def test_missing_data_are_named(dataset, message):
    assert f'test_dataloader.dataset.{message}' in said(test=dataset)
    nested = WRAPPERS['RepeatDataset'](WRAPPERS['ConcatDataset'](dataset))
    assert f'train_dataloader.dataset.dataset.datasets.0.{message}' in said(train=nested)


def test_missing_annotations_of_a_metric():
    metric = dict(type='mmdet.CocoMetric', ann_file='none.json')
    message = 'test_evaluator.ann_file: none.json does not exist'
    assert message in said(test=COCO, evaluator=metric)
    Path('none.json').write_text('{"images": [')
    assert 'none.json' in said(test=COCO, evaluator=metric)
    # Two lists of entries: where the wrong one stands is said.
    metrics = [dict(metric, ann_file='coco.json'), dict(metric, ann_file='other.json')]
    message = 'test_evaluator.1.ann_file: other.json does not exist'
    assert message in said(test=COCO, evaluator=metrics)


def test_names_of_lists_of_metrics():
    """MMEngine copies them."""
    val, test = ([dict(type=f'mmengine.{kind}')] for kind in ('DumpResults', 'BaseMetric'))
    runner = SimpleNamespace(_val_evaluator=val, _test_evaluator=test)
    assert entry_of(runner, [*test], 'evaluator') == 'test_evaluator'
    assert entry_of(runner, [*val], 'evaluator') == 'val_evaluator'
    assert entry_of(runner, [], 'evaluator') == 'evaluator'


def spoil_image(dataset, spoil):
    """Make the second image of a dataset missing, or empty; returns its path."""
    place = {'coco': 'images', 'list': 'images', 'plain': 'images', 'folders': 'train/dog'}
    path = Path(place.get(dataset, 'JPEGImages'), 'b.jpg' if dataset == 'voc' else 'b.png')
    path.unlink()
    if spoil == 'empty':
        path.touch()
    return str(path)


@pytest.mark.parametrize(
    ('dataset', 'spoil'), [*((name, 'empty') for name in DATASETS), ('coco', 'missing')]
)
def test_missing_and_empty_images(dataset, spoil):
    path = spoil_image(dataset, spoil)
    message = said(val=DATASETS[dataset])
    assert path in message and 'do not exist or are empty' in message


def test_images_elsewhere_are_not_looked_for():
    change('plain.json', lambda c: c['data_list'][1].update(img_path='s3://there/b.png'))
    start(train=dict(PLAIN, data_prefix=dict(img_path='')) | dict(indices=[1]))


def test_images_that_the_pipeline_reads_elsewhere_are_not_looked_for():
    """The annotations of a database of images are files."""
    spoil_image('coco', 'missing')
    load = dict(type='LoadImageFromFile', backend_args=dict(backend='lmdb', db_path='images.lmdb'))
    start(train=dict(COCO, pipeline=[load]))
    load.pop('backend_args')
    assert 'do not exist or are empty' in said(train=dict(COCO, pipeline=[load]))


def test_large_datasets_are_sampled(monkeypatch):
    monkeypatch.setattr(data_faults, 'MAX_IMAGES', 1)
    spoil_image('coco', 'missing')
    start(train=COCO)  # the second of two is not looked for


@pytest.mark.parametrize('content', (b'', b'no image', None), ids=('empty', 'text', 'truncated'))
@pytest.mark.parametrize('workers', (0, 1))
def test_images_that_fail_later_are_named(workers, content):
    load = [dict(type='LoadImageFromFile')]
    (dataset,) = start(train=dict(COCO, pipeline=load))
    path = Path('images/b.png')
    path.write_bytes(path.read_bytes()[:-20] if content is None else content)
    assert dataset[0]['img'].shape == (48, 64, 3)
    loader = torch.utils.data.DataLoader(dataset, num_workers=workers, collate_fn=list)
    with pytest.raises(RuntimeError, match=r'images/b\.png could not be loaded: '):
        list(loader)


# Boxes without area in the image of 64 x 48, as [x1, y1, x2, y2].
DEGENERATE = {
    'no width': [8, 8, 8, 40],
    'no height': [8, 8, 40, 8],
    'a point': [8, 8, 8, 8],
    'corners swapped': [40, 40, 8, 8],
    'right of the image': [64, 8, 80, 40],
    'above the image': [8, -40, 40, 0],
    'nan': [8, 8, float('nan'), 40],
    'inf': [8, 8, float('inf'), 40],
}


def spoil_box(dataset, box):
    if dataset == 'voc':
        write_xml('b', [value + 1 for value in box], 'dog')
    else:
        change('plain.json', lambda c: c['data_list'][1]['instances'][0].update(bbox=box))


@pytest.mark.parametrize('serialize', (True, False))
@pytest.mark.parametrize('kind', DEGENERATE)
@pytest.mark.parametrize('dataset', ('voc', 'plain'))
def test_degenerate_boxes_are_left_out_of_trainings(dataset, kind, serialize, warned):
    spoil_box(dataset, DEGENERATE[kind])
    cfg = dict(DATASETS[dataset], serialize_data=serialize)
    if dataset == 'voc' and kind in ('nan', 'inf'):
        assert 'Annotations/b.xml' in said(train=cfg)  # which are no integers
        return
    (built,) = start(train=cfg)
    assert [len(built[i]['instances']) for i in range(2)] == [1, 0]
    file = 'Annotations/b.xml' if dataset == 'voc' else 'images/b.png'
    assert f'in {file}; they are left out of the training' in warned[0]


@pytest.mark.parametrize('dataset', ('voc', 'plain'))
def test_boxes_of_images_of_unknown_size_stay(dataset, warned):
    for path in map(Path, ('Annotations/b.xml', 'plain.json')):
        path.write_text(path.read_text().replace('64', '0').replace('48', '0'))
    for part in ('train', 'val'):
        (built,) = start(**{part: DATASETS[dataset]})
        assert built[1]['width'] == built[1]['height'] == 0 and len(built[1]['instances']) == 1
    assert not any('no area' in line for line in warned)


@pytest.mark.parametrize('dataset', ('voc', 'plain'))
def test_degenerate_boxes_of_a_validation_stay(dataset, warned):
    spoil_box(dataset, DEGENERATE['no width'])
    (built,) = start(val=DATASETS[dataset])
    assert len(built[1]['instances']) == 1
    assert 'none of them can be found' in warned[0]


@pytest.mark.parametrize('wrapper', WRAPPERS)
def test_wrapped_datasets(wrapper, warned):
    spoil_box('voc', DEGENERATE['no width'])
    (built,) = start(train=WRAPPERS[wrapper](VOC))
    assert sum(len(built[i]['instances']) for i in range(len(built))) == len(built) / 2
    assert f'train_dataloader.dataset.dataset{"s.0" if "Con" in wrapper else ""} (' in warned[0]
    Path('voc.txt').write_text('a\nc\n')
    assert 'Annotations/c.xml' in said(train=WRAPPERS[wrapper](VOC))


@pytest.mark.parametrize('dataset', ('coco', 'voc', 'plain'))
def test_trainings_without_boxes(dataset, warned):
    change('coco.json', lambda c: c.update(annotations=[]))
    change('plain.json', lambda c: [s.update(instances=[]) for s in c['data_list']])
    for name in 'ab':
        write_xml(name, label='Cat')
    message = said(train=DATASETS[dataset])
    assert 'no image has a box of the classes' in message and 'boxes in pixels?' in message
    start(test=DATASETS[dataset])  # may have images alone
    assert 'no image has a box of the classes' in warned[-1]


@pytest.mark.parametrize('label', (-1, 2, 1000))
@pytest.mark.parametrize('dataset', ('list', 'plain'))
def test_labels_out_of_range(dataset, label):
    Path('list.txt').write_text(f'a.png 0\nb.png {label}\n')
    change('plain.json', lambda c: c['data_list'][1]['instances'][0].update(bbox_label=label))
    for part in ('train', 'val', 'test'):
        message = said(**{part: DATASETS[dataset]})
        assert f'not among the 2 classes of the model, such as {label} in images/b.png' in message


# What no library takes as a sample, and what is said of it.
WRONG_SAMPLES = {
    'a text as box': (dict(instances=[dict(bbox='abcd', bbox_label=0)]), 'must be real number'),
    'no class': (dict(instances=[dict(bbox=[1, 1, 2, 2], bbox_label=None)]), 'TypeError'),
    'a number as instances': (dict(instances=5), 'TypeError'),
    'texts as labels': (dict(gt_label=['cat', 'dog']), 'TypeError'),
}


class Sampled(list):
    """A dataset of given samples."""

    get_data_info = list.__getitem__


@pytest.mark.parametrize('kind', WRONG_SAMPLES)
def test_wrong_samples_are_named(kind):
    sample, message = WRONG_SAMPLES[kind]
    sample = dict(sample, img_path='images/b.png')
    with pytest.raises(SystemExit, match=rf'here \(Sampled\): images/b\.png .*{message}'):
        check_samples(dict(here=Sampled([dict(gt_label=0), sample])), 'train', 2)


@pytest.mark.parametrize('sample', (None, [1], 'text'))
def test_samples_that_are_none(sample):
    with pytest.raises(SystemExit, match=r'here .*: sample 1 is annotated wrongly: '):
        check_samples(dict(here=Sampled([dict(gt_label=0), sample])), 'train', 2)


@pytest.mark.parametrize('convert', (np.array, torch.tensor, np.int64, float))
def test_labels_of_any_type(convert):
    for label in (convert, lambda number: [convert(number)], lambda n: torch.tensor([n])):
        samples = Sampled(dict(gt_label=label(number)) for number in (0, 1, 1, 2))
        found = data_faults.look_through(samples, 2)
        assert found.labels == {0, 1, 2}
        assert len(found.bad_labels) == 1 and found.bad_labels[0].endswith(' in sample 3')
    instances = [dict(bbox=[1, 1, 2, 2], bbox_label=convert(number)) for number in (0, 2)]
    found = data_faults.look_through(Sampled([dict(instances=instances)]), 2)
    assert len(found.bad_labels) == 1


def test_boxes_that_are_ignored_may_have_no_class(warned):
    """As in CrowdHuman."""
    ignored = dict(bbox=[8, 8, 40, 40], bbox_label=-1, ignore_flag=1)
    change('plain.json', lambda c: c['data_list'][1]['instances'].append(ignored))
    start(train=PLAIN, val=PLAIN, test=PLAIN)
    assert not warned


@pytest.mark.parametrize('label', (0.5, np.float64(0.5), torch.tensor([0.5])))
def test_labels_between_classes(label):
    samples = Sampled([dict(gt_label=label)])
    assert data_faults.look_through(samples, 2).bad_labels == ['0.5 in sample 0']


@pytest.mark.parametrize('library', ('mmpretrain', 'mmdet'))
def test_labels_of_retrieval_are_no_classes(library):
    """They are the images to be found, or classes that were not trained on."""
    if library == 'mmdet':
        model = BaseReID(backbone=dict(type='mmdia.ResNet', depth=18))
    else:
        model = ImageToImageRetriever(nn.Identity(), prototype='features.pt')
    model.head = nn.Identity()
    model.head.num_classes = 2
    assert [number_of_classes(model, part) for part in ('train', 'val', 'test')] == [2, None, None]
    wrapped = nn.ModuleDict(dict(module=model))  # as by DistributedDataParallel
    assert [number_of_classes(wrapped, part) for part in ('train', 'val')] == [2, None]


def run_hook(model, checkpoint=None, **datasets):
    """Check datasets in loops that have no evaluator."""
    runner = SimpleNamespace(model=model, _train_loop=None, _val_loop=None, _test_loop=None)
    for part, dataset in datasets.items():
        setattr(runner, f'_{part}_loop', OwnLoop(runner, DataLoader(dataset)))
    hook = DataCheckHook()
    hook.before_run(runner)
    hook.after_load_checkpoint(runner, checkpoint or {})


class OwnLoop(BaseLoop):
    def run(self):
        """Never called."""


def test_loops_that_evaluate_in_their_own_way():
    samples = Sampled([dict(gt_label=0)])
    run_hook(Model(2), train=samples, val=samples, test=samples)
    with pytest.raises(SystemExit, match='not among the 2 classes'):
        run_hook(Model(2), val=Sampled([dict(gt_label=2)]))


def test_models_that_read_the_classes_find_any():
    """Their head counts the words of a text, and they are tested on classes of any data."""
    trained, tested = (Sampled([dict(gt_label=label)]) for label in (0, 7))
    trained.metainfo, tested.metainfo = dict(classes=CLASSES), dict(classes=PANOPTIC)
    checkpoint = meta_of(dict(classes=CLASSES), nested=True)
    model = Model(2)
    with pytest.raises(SystemExit, match='adds sky'):
        run_hook(model, train=trained, val=tested)
    model.language_model = nn.Identity()
    for parent in (model, nn.ModuleDict(dict(module=model))):
        run_hook(parent, checkpoint, train=trained, val=tested, test=tested)


def test_videos_number_classes_of_their_own():
    """As in the configs of MMDetection: pedestrians are trained, among all that is annotated."""
    content = json.loads(Path('coco.json').read_text())
    for number, image in enumerate(content['images']):
        image.update(video_id=1, frame_id=number)
    for box in content['annotations']:
        box.update(category_id=1, instance_id=1, visibility=1, mot_conf=1)
    content.update(videos=[dict(id=1, name='a')], categories=[dict(id=1, name='pedestrian')])
    Path('video.json').write_text(json.dumps(content))
    val = dict(
        type='mmdet.MOTChallengeDataset',
        ann_file='video.json',
        data_prefix=dict(img_path='images'),
        test_mode=True,
    )
    train = dict(val, test_mode=False, metainfo=dict(classes=('pedestrian',)))
    metric = dict(type='mmdet.CocoVideoMetric', ann_file='video.json')
    start(train=train, val=val, evaluator=metric)
    trained = dict(meta=dict(dataset_meta=dict(classes=('pedestrian',))))
    start(test=val, evaluator=metric, checkpoint=trained)


def test_labels_that_are_no_classes():
    """Of a regression, of several tasks, and of none."""
    samples = Sampled(dict(gt_label=label) for label in (0.5, dict(a=1), None, 'a text'))
    assert not data_faults.look_through(samples).bad_labels
    samples = Sampled(dict(gt_label=label) for label in (dict(a=1), None))
    assert not data_faults.look_through(samples, 2).bad_labels


@pytest.mark.parametrize('dataset', DATASETS)
def test_more_classes_than_the_model(dataset, warned):
    assert 'not among the 1 classes of the model' in said(train=DATASETS[dataset], num_classes=1)
    start(train=DATASETS[dataset], num_classes=3)  # as upstream; but said
    assert 'has 2 classes, the model tells 3 apart' in warned[0]


def move(old, new):
    Path('val', old).rename(Path('val', new))


FOLDER_FAULTS = {
    'one less': (lambda: move('cat', '../elsewhere'), 'lacks cat'),
    'one more': (lambda: Path('val/ant').mkdir(), 'adds ant'),
    'another': (lambda: move('dog', 'emu'), 'lacks dog and adds emu'),
    'capital': (lambda: move('dog', 'Dog'), 'lacks dog and adds Dog'),
}


@pytest.mark.parametrize('kind', FOLDER_FAULTS)
def test_folders_unlike_those_of_the_training(kind):
    spoil, message = FOLDER_FAULTS[kind]
    spoil()
    val = dict(FOLDERS, data_root='val')
    shown = said(train=FOLDERS, val=val)
    assert message in shown and 'val' in shown and 'train' in shown
    trained = dict(meta=dict(dataset_meta=dict(classes=CLASSES)))
    assert message in said(test=val, checkpoint=trained, num_classes=3)


def test_folders_without_a_known_training():
    move('cat', '../elsewhere')
    for checkpoint in ({}, dict(meta=None), dict(meta=dict(dataset_meta=None))):
        message = said(test=dict(FOLDERS, data_root='val'), checkpoint=checkpoint)
        assert '1 folders of classes, the model tells 2 apart' in message


def test_an_empty_folder_keeps_the_place_of_a_class(warned):
    for image in Path('val/cat').iterdir():
        image.unlink()
    start(train=FOLDERS, val=dict(FOLDERS, data_root='val'))
    for image in Path('train/cat').iterdir():
        image.unlink()
    start(train=FOLDERS)
    assert 'has no sample of cat' in warned[0]


def test_names_that_folders_contradict():
    named = dict(FOLDERS, metainfo=dict(classes=('dog', 'cat')))
    assert 'make cat class 0' in said(train=named)
    move('dog', 'emu')
    # The names alone would agree, as the counts do.
    named = dict(FOLDERS, metainfo=dict(classes=CLASSES))
    assert 'lacks dog and adds emu' in said(train=named, val=dict(named, data_root='val'))


@pytest.mark.parametrize('dataset', ('coco', 'voc', 'list'))
def test_names_unlike_those_of_the_training(dataset):
    train = DATASETS[dataset]
    val = dict(train, metainfo=dict(classes=('dog', 'cat')))
    if dataset == 'coco':
        Path('other.json').write_text(Path('coco.json').read_text())
        change('other.json', lambda content: content['categories'].reverse())
        val['ann_file'] = 'other.json'
    message = 'has another order'
    assert message in said(train=train, val=val)
    trained = dict(meta=dict(dataset_meta=dict(classes=CLASSES)))
    assert message in said(test=val, checkpoint=trained)
    either = dict(type='mmdet.ConcatDataset', datasets=[train, val])
    start(train=either, val=val)


@pytest.mark.parametrize('name', ('classes', 'CLASSES'))
@pytest.mark.parametrize('nested', (True, False))
def test_names_in_checkpoints_of_any_version(name, nested):
    for classes in (CLASSES, list(CLASSES), 5, 'text', None, (), {'cat': 0}):
        start(test=LIST, checkpoint=meta_of({name: classes}, nested))
    other = meta_of({name: ['dog', 'cat']}, nested)
    assert 'has another order, compared with the checkpoint' in said(test=LIST, checkpoint=other)


def test_names_in_checkpoints_of_several_datasets():
    """MMDetection lists what it knows of them, where that differs."""
    for first, second in ((CLASSES, CLASSES), (CLASSES, PANOPTIC), (PANOPTIC, CLASSES)):
        metas = [dict(classes=first, palette=1), dict(classes=second, palette=2)]
        start(test=LIST, checkpoint=dict(meta=dict(dataset_meta=metas)))
    metas = [dict(classes=PANOPTIC)] * 2
    assert 'lacks sky' in said(test=LIST, checkpoint=dict(meta=dict(dataset_meta=metas)))


def meta_of(entry, nested):
    return dict(meta=dict(dataset_meta=entry) if nested else entry)


def test_names_as_text():
    assert "text 'names.txt': no such file" in said(
        train=dict(COCO, metainfo=dict(classes='names.txt'))
    )


def test_categories_in_another_order():
    content = json.loads(Path('coco.json').read_text())
    content['categories'].reverse()
    Path('other.json').write_text(json.dumps(content))
    message = said(train=COCO, val=dict(COCO, ann_file='other.json'))
    assert 'the categories of the annotation files have another order' in message


@pytest.mark.parametrize('part', ('train', 'test'))
def test_names_in_another_order_than_the_categories(part):
    """No metric need read the file."""
    swapped = dict(COCO, metainfo=dict(classes=CLASSES[::-1]))
    for dataset in (swapped, WRAPPERS['RepeatDataset'](swapped)):
        message = said(**{part: dataset})
        assert "another order than the categories in the file: ('cat', 'dog')" in message
    change('coco.json', lambda c: c['categories'].append(dict(id=9, name='emu')))
    start(**{part: COCO})


def other_images(content):
    for image in content['images']:
        image['file_name'] = f'other_{image["file_name"]}'


METRIC_FAULTS = {
    'other numbers': (lambda c: [i.update(id=i['id'] + 5) for i in c['images']], 'has no image 0'),
    'other images': (other_images, 'has no image 0 of the file images/a.png'),
    'one less': (lambda c: c['images'].pop(), 'has no image 1'),
    'other classes': (lambda c: c['categories'][0].update(name='emu'), 'lacks cat'),
    'another order': (lambda c: c['categories'].reverse(), 'has another order'),
    'no names': (lambda c: c['categories'][0].pop('name'), "KeyError: 'name'"),
    'no files': (lambda c: c['images'][0].pop('file_name'), "KeyError: 'file_name'"),
    'no categories': (lambda c: c.pop('categories'), 'lacks cat, dog'),
    'no crowds': (lambda c: c['annotations'][1].pop('iscrowd'), 'annotation 1 has no iscrowd'),
    'no masks': (lambda c: None, 'annotation 0 has no segmentation'),
    'empty masks': (
        lambda c: [a.update(segmentation=[]) for a in c['annotations']],
        'annotation 0 has no segmentation',
    ),
}


@pytest.mark.parametrize('kind', METRIC_FAULTS)
def test_metrics_of_other_annotations(kind):
    update, message = METRIC_FAULTS[kind]
    Path('other.json').write_text(Path('coco.json').read_text())
    change('other.json', update)
    metric = dict(type='mmdet.CocoMetric', ann_file='other.json')
    masks = dict(metric, metric=['bbox', 'segm']) if 'masks' in kind else metric
    shown = said(val=COCO, evaluator=masks)
    assert message in shown and 'val_evaluator' in shown
    start(val=COCO, evaluator=dict(metric, ann_file='coco.json'))


def test_boxes_of_other_categories_may_lack_what_metrics_need():
    def add(content):
        content['categories'].append(dict(id=99, name='emu'))
        box = dict(bbox=[8, 8, 9, 9], area=81)
        content['annotations'].append(dict(box, id=99, image_id=0, category_id=99))

    change('coco.json', add)
    start(val=COCO, evaluator=dict(type='mmdet.CocoMetric', ann_file='coco.json'))


def test_boxes_without_masks():
    def segment(content):
        for box in content['annotations']:
            box['segmentation'] = [[8, 8, 40, 8, 40, 40]]

    pipeline = [dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True)]
    start(train=dict(COCO, pipeline=[dict(pipeline[0], with_mask=False)]))
    change('coco.json', segment)
    start(train=dict(COCO, pipeline=pipeline))
    for wrong in ([], None):
        change('coco.json', lambda c, wrong=wrong: c['annotations'][1].update(segmentation=wrong))
        assert 'images/b.png is annotated wrongly: ' in said(train=dict(COCO, pipeline=pipeline))


def test_masks_that_are_not_among_the_annotations(warned, monkeypatch):
    """Those of panoptic segments are in files."""
    stub = SimpleNamespace(utils=SimpleNamespace(rgb2id=None))
    monkeypatch.setitem(sys.modules, 'panopticapi', stub)
    segments = [dict(id=1, category_id=i + 1, bbox=[8, 8, 32, 32], area=1024) for i in range(2)]
    content = json.loads(Path('coco.json').read_text())
    content['categories'] = [
        dict(id=i + 1, name=name, isthing=name != 'sky') for i, name in enumerate(PANOPTIC)
    ]
    content['annotations'] = [
        dict(image_id=image['id'], file_name=image['file_name'], segments_info=segments)
        for image in content['images']
    ]
    Path('panoptic.json').write_text(json.dumps(content))
    metainfo = dict(classes=PANOPTIC, thing_classes=CLASSES, stuff_classes=('sky',))
    dataset = dict(
        type='mmdet.CocoPanopticDataset',
        ann_file='panoptic.json',
        data_prefix=dict(img='images', seg='images'),
        metainfo=metainfo,
        pipeline=[dict(type='mmdet.LoadPanopticAnnotations')],
    )
    start(train=dataset)
    assert not warned  # heads of boxes tell things apart, and stuff has no boxes
    empty = dict(type='mmdet.LoadEmptyAnnotations', with_mask=True)
    start(train=dict(COCO, pipeline=[empty]))


def test_metrics_of_more_images(warned):
    metric = dict(type='mmdet.CocoMetric', ann_file='coco.json')
    start(val=dict(COCO, indices=1), evaluator=metric)
    assert 'has 2 images, the dataset 1: the rest count as missed' in warned[-1]


HINT = '; filter_cfg drops images that are small or have no boxes of the classes'


@pytest.mark.parametrize('serialize', (True, False))
@pytest.mark.parametrize('dataset', ('coco', 'voc'))
def test_filters_that_leave_nothing(dataset, serialize):
    filters = dict(filter_empty_gt=True)
    cfg = dict(DATASETS[dataset], filter_cfg=filters, serialize_data=serialize)
    cfg['metainfo'] = dict(classes=('emu',))
    file = cfg['ann_file']
    place = f'train_dataloader.dataset (ann_file {file}, data_prefix {cfg["data_prefix"]}'
    assert said(train=cfg) == f'{place}, filter_cfg {filters}): no images{HINT}'


@pytest.mark.parametrize('part', ('train', 'val', 'test'))
def test_no_images(part):
    Path('list.txt').write_text('')
    change('coco.json', lambda c: c.update(images=[], annotations=[]))
    for dataset in (LIST, COCO):
        message = said(**{part: dataset})
        assert f'{part}_dataloader.dataset (ann_file {dataset["ann_file"]}' in message
        assert message.endswith(': no images')


@pytest.mark.parametrize(
    'wrong',
    (
        dict(batch_size=0),
        dict(sampler=dict(type='NoSampler')),
        dict(num_workers=-1),
        dict(collate_fn=dict(type='no_collate')),
        dict(drop=True),
    ),
    ids=str,
)
def test_loaders_that_cannot_be_built(wrong):
    cfg = dict(batch_size=1, sampler=dict(type='DefaultSampler', shuffle=True), dataset=dict(LIST))
    runner = Runner(Model(2), 'run', experiment_name=f'check_{os.getpid()}_{next(NUMBERS)}')
    check_data(runner)
    with pytest.raises(SystemExit, match=r'dataloader\.dataset .*: cannot be built') as error:
        runner.build_dataloader(dict(cfg, **wrong), 7)
    assert 'cannot be read' not in str(error.value)
    cfg['dataset'] = Sampled()
    with pytest.raises(SystemExit, match=r'dataloader.*: cannot be built: '):  # no file was read
        runner.build_dataloader(dict(cfg, **wrong), 7)


def test_loaders_with_data_are_built_as_before():
    cfg = dict(batch_size=1, sampler=dict(type='DefaultSampler', shuffle=True), dataset=dict(COCO))
    runner = Runner(Model(2), 'run', experiment_name=f'check_{os.getpid()}_{next(NUMBERS)}')
    check_data(runner)
    loader = runner.build_dataloader(cfg, 7)
    assert len(loader.dataset) == 2 and loader.sampler.seed == 7
    loader = runner.build_dataloader(cfg, seed=7, diff_rank_seed=True)
    theirs = Runner.build_dataloader(cfg, seed=7, diff_rank_seed=True)
    assert loader.sampler.seed != 7  # drawn
    assert loader.worker_init_fn.keywords == theirs.worker_init_fn.keywords
    assert runner.build_dataloader(loader) is loader


def test_the_last_file_read(tmp_path):
    (tmp_path / 'a.txt').write_text('a')
    with LastFileRead() as read:
        (tmp_path / 'b.txt').write_text('b')
        assert read.path is None  # written
        (tmp_path / 'a.txt').read_text()
        metadata.entry_points()  # reads metadata of packages, as MMEngine's registries do
        assert read.path == str(tmp_path / 'a.txt')
        with pytest.raises(FileNotFoundError):
            (tmp_path / 'c.txt').read_text()
    (tmp_path / 'a.txt').read_text()
    assert read.path == str(tmp_path / 'c.txt')


@pytest.mark.parametrize('tool', ('train', 'test'))
def test_tools(tool, run_tool, monkeypatch):
    entry = f'{tool}_dataloader'
    Path('list.txt').write_text('a.png 0\nb.png 10\n')
    base = CONFIGS / 'demo' / 'dia-resnet18_digits.py'
    dataset = f'dict(_delete_=True, pipeline=[dict(type="PackInputs")], **{LIST})'
    Path('my.py').write_text(f'_base_ = {str(base)!r}\n{entry} = dict(dataset={dataset})\n')
    options = ['my.py', '--no-validate'] if tool == 'train' else ['my.py', 'none.pth']
    with pytest.raises(SystemExit, match=f'{entry}.dataset .*10 in images/b.png'):
        run_tool(f'{tool}.py', *options)

    # Without the check, that runner is MMEngine's own.
    runners = []
    monkeypatch.setattr(Runner, tool, lambda runner: runners.append(runner))
    run_tool(f'{tool}.py', *options, '--no-data-check')
    assert not any(isinstance(hook, DataCheckHook) for hook in runners[0].hooks)
