import multiprocessing
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip('mmdet')

from mmcv.transforms import LoadImageFromFile
from mmdet.evaluation import CocoMetric
from mmengine.fileio import dump
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO

from mmdia.datasets import ShapesDataset
from mmdia.datasets.shapes import CLASSES, draw_image
from mmdia.registry import DATASETS


@pytest.fixture
def shapes(tmp_path):
    """Builds small datasets that are kept in the test's own folder."""

    def build(num_images=8, **kwargs):
        return ShapesDataset(num_images=num_images, data_root=str(tmp_path), **kwargs)

    return build


def images_of(dataset):
    return [cv2.imread(info['img_path']) for info in dataset]


def test_an_image_is_what_it_is_annotated_to_be(shapes):
    dataset = shapes(num_images=40, image_size=(48, 70), split='test', seed=3)
    assert len(dataset) == 40
    seen = set()
    for info in dataset:
        assert cv2.imread(info['img_path']).shape == (48, 70, 3)
        assert (info['height'], info['width']) == (48, 70)
        masks = [mask_utils.decode(instance['mask']) for instance in info['instances']]
        assert masks
        assert np.sum(masks, axis=0).max() == 1  # visible parts never overlap
        for instance, mask in zip(info['instances'], masks, strict=True):
            rows, columns = np.nonzero(mask)
            box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert instance['bbox'] == box
            seen.add(instance['bbox_label'])
    assert seen == {0, 1, 2}


def test_every_shape_stays_visible():
    for seed in range(60):
        image, masks, labels = draw_image(np.random.default_rng(seed), 64, 64)
        assert image.dtype == np.uint8
        assert 1 <= len(masks) == len(labels) <= 4
        assert min(mask.sum() for mask in masks) > 30


def test_annotations_are_plain_coco(shapes):
    dataset = shapes()
    coco = COCO(dataset.ann_file)
    names = [category['name'] for category in coco.loadCats(coco.getCatIds())]
    assert tuple(names) == CLASSES == dataset.metainfo['classes']
    for annotation in coco.loadAnns(coco.getAnnIds()):
        assert coco.annToMask(annotation).sum() == annotation['area']


def test_same_arguments_same_images(tmp_path):
    first, second = (
        ShapesDataset(num_images=4, image_size=64, data_root=str(tmp_path / name)) for name in 'ab'
    )
    np.testing.assert_array_equal(images_of(first), images_of(second))
    assert Path(first.ann_file).read_text() == Path(second.ann_file).read_text()


def test_more_images_begin_with_the_same_ones(shapes):
    few, more = images_of(shapes(3)), images_of(shapes(5))
    np.testing.assert_array_equal(few, more[:3])


def test_splits_and_seeds_share_no_image(shapes):
    datasets = [
        shapes(split=split, seed=seed) for split in ('train', 'val', 'test') for seed in (0, 1)
    ]
    images = [image.tobytes() for dataset in datasets for image in images_of(dataset)]
    assert len(set(images)) == 6 * 8


def test_the_cache_is_used_again(shapes):
    path = Path(shapes().ann_file)
    before = path.stat().st_mtime_ns
    shapes()
    assert path.stat().st_mtime_ns == before


def test_the_default_folder_follows_xdg(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert Path(ShapesDataset(num_images=1).ann_file).is_relative_to(tmp_path / 'mmdia' / 'shapes')
    monkeypatch.delenv('XDG_CACHE_HOME')
    monkeypatch.setenv('HOME', str(tmp_path / 'home'))
    cache = tmp_path / 'home' / '.cache'
    assert Path(ShapesDataset(num_images=1).ann_file).is_relative_to(cache)


def test_lazy_init_draws_nothing(shapes, tmp_path):
    dataset = shapes(lazy_init=True)
    assert not list(tmp_path.iterdir())
    assert len(dataset) == 8


def damage_image(folder):
    path = folder / 'images' / '000002.png'
    path.write_bytes(path.read_bytes()[:100])


def damage_annotations(folder):
    path = folder / 'annotations.json'
    path.write_bytes(path.read_bytes()[:500])


DAMAGES = {
    'a cut image': damage_image,
    'a lost image': lambda folder: (folder / 'images' / '000002.png').unlink(),
    'cut annotations': damage_annotations,
    'lost annotations': lambda folder: (folder / 'annotations.json').unlink(),
    'other json': lambda folder: dump([1], folder / 'annotations.json'),
    'an interrupted start': lambda folder: shutil.move(folder, f'{folder}.partial'),
}


@pytest.mark.parametrize('damage', DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_folder_is_drawn_anew(shapes, damage):
    dataset = shapes()
    images = images_of(dataset)
    folder = Path(dataset.data_root)
    damage(folder)
    np.testing.assert_array_equal(images_of(shapes()), images)
    assert {path.name for path in folder.parent.iterdir()} == {folder.name, f'{folder.name}.lock'}


def load_in_process(root, barrier, queue):
    barrier.wait()
    dataset = ShapesDataset(num_images=20, data_root=root)
    queue.put((len(dataset), Path(dataset.ann_file).stat().st_ino))


def test_processes_draw_it_once_together(tmp_path):
    context = multiprocessing.get_context('fork')
    barrier, queue = context.Barrier(4), context.Queue()
    arguments = (str(tmp_path), barrier, queue)
    processes = [context.Process(target=load_in_process, args=arguments) for _ in range(4)]
    for process in processes:
        process.start()
    results = {queue.get(timeout=60) for _ in processes}
    for process in processes:
        process.join()
    assert len(results) == 1  # one length, and one file: none was drawn over another


@pytest.mark.parametrize(
    ('arguments', 'error', 'message'),
    [
        ({'split': 'dev'}, ValueError, r"split must be one of \('train', 'val', 'test'\).*'dev'"),
        ({'num_images': 0}, ValueError, 'num_images must be an integer in 1 ... 1000000, got 0'),
        ({'seed': -1}, ValueError, 'seed must be an integer .*, got -1'),
        ({'image_size': 31}, ValueError, 'image_size must be an integer in 32 ... 65536, got 31'),
        (
            {'image_size': (64, 8)},
            ValueError,
            r'image_size must be 2 integers in 32 ... 65536, got \(64, 8\)',
        ),
        ({'image_size': '64'}, TypeError, "image_size must be an integer .*, got '64'"),
    ],
)
def test_wrong_arguments(shapes, tmp_path, arguments, error, message):
    with pytest.raises(error, match=message):
        shapes(**arguments)
    assert not list(tmp_path.iterdir())


def pipeline():
    return [
        {'type': LoadImageFromFile},
        {'type': 'mmdet.LoadAnnotations', 'with_bbox': True, 'with_mask': True},
        {
            'type': 'mmdet.PackDetInputs',
            'meta_keys': ('img_id', 'img_path', 'ori_shape', 'img_shape', 'instances'),
        },
    ]


def test_builds_by_name_with_boxes_and_masks(tmp_path):
    dataset = DATASETS.build(
        {
            'type': 'mmdia.ShapesDataset',
            'num_images': 2,
            'image_size': (40, 56),
            'data_root': str(tmp_path),
            'pipeline': pipeline(),
        }
    )
    sample = dataset[0]
    truth = sample['data_samples'].gt_instances
    assert sample['inputs'].shape == (3, 40, 56)
    boxes = truth.masks.get_bboxes('hbox').tensor
    np.testing.assert_array_equal(boxes, truth.bboxes.tensor)


def detections(dataset, shifts):
    """The truth as detections, in some images moved by 1 ... ``shifts - 1`` pixels."""
    for index, sample in enumerate(dataset):
        truth = sample['data_samples'].gt_instances
        shift = index % shifts
        masks = np.roll(truth.masks.masks, shift, axis=(1, 2)).transpose(1, 2, 0)
        boxes = truth.bboxes.tensor
        yield {
            **sample['data_samples'].metainfo,
            'pred_instances': {
                'bboxes': boxes + shift,
                'labels': truth.labels,
                'scores': boxes.new_full((len(boxes),), 1 / (1 + shift)),
                'masks': mask_utils.encode(np.asfortranarray(masks)),
            },
        }


def coco_scores(dataset, ann_file, shifts):
    metric = CocoMetric(ann_file=ann_file, metric=['bbox', 'segm'])
    metric.dataset_meta = dataset.metainfo
    metric.process({}, list(detections(dataset, shifts)))
    return metric.evaluate(len(dataset))


def test_coco_metric_needs_no_annotation_file(shapes):
    dataset = shapes(num_images=12, image_size=64, split='test', pipeline=pipeline())
    scores, converted = (coco_scores(dataset, path, 5) for path in (dataset.ann_file, None))
    for kind in ('bbox', 'segm'):
        assert 0.4 < scores[f'coco/{kind}_mAP'] < 0.9
        for name in ('mAP', 'mAP_50', 'mAP_75'):
            key = f'coco/{kind}_{name}'
            assert scores[key] == converted[key]


@pytest.mark.parametrize('with_ann_file', [True, False])
def test_the_truth_scores_one(shapes, with_ann_file):
    dataset = shapes(num_images=4, split='test', pipeline=pipeline())
    scores = coco_scores(dataset, dataset.ann_file if with_ann_file else None, 1)
    assert scores['coco/bbox_mAP'] == scores['coco/segm_mAP'] == 1
