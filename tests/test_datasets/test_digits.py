import sys

import numpy as np
import pytest

pytest.importorskip('mmpretrain')

from mmengine.registry import DATASETS as ROOT_DATASETS

from mmdia.datasets import DigitsDataset
from mmdia.registry import DATASETS


def images_of(dataset):
    return np.stack([dataset.get_data_info(i)['img'] for i in range(len(dataset))])


def test_sizes_types_and_classes():
    train, test = DigitsDataset('train'), DigitsDataset('test')
    assert (len(train), len(test)) == (1437, 360)
    assert train.metainfo['classes'] == tuple('0123456789')
    images = images_of(test)
    assert images.shape == (360, 32, 32, 3)
    assert images.dtype == np.uint8
    assert images.min() == 0 and images.max() == 255
    np.testing.assert_array_equal(images[..., 0], images[..., 2])
    assert set(test.get_gt_labels()) == set(range(10))


def test_the_split_is_fixed_and_covers_every_image_once():
    sklearn_datasets = pytest.importorskip('sklearn.datasets')
    labels = [DigitsDataset(split).get_gt_labels() for split in ('train', 'test')]
    np.testing.assert_array_equal(labels[1], DigitsDataset('test').get_gt_labels())
    # Image for image, by the sums of the enlarged pixels: none lost, none in both parts.
    whole = [DigitsDataset._enlarge(image) for image in sklearn_datasets.load_digits().images]
    parts = [*images_of(DigitsDataset('train')), *images_of(DigitsDataset('test'))]
    assert sorted(image.tobytes() for image in whole) == sorted(p.tobytes() for p in parts)
    counts = np.bincount(labels[1])
    assert counts.max() - counts.min() <= 2


def test_builds_by_name_in_a_pipeline_without_loading():
    config = {
        'type': 'mmdia.DigitsDataset',
        'split': 'test',
        'pipeline': [{'type': 'mmpretrain.PackInputs'}],
        'test_mode': True,
    }
    for registry in (DATASETS, ROOT_DATASETS):
        sample = registry.build(config)[0]
        assert sample['inputs'].shape == (3, 32, 32)
        assert 0 <= sample['data_samples'].gt_label.item() < 10


@pytest.mark.parametrize('split', ['val', 'Train', None])
def test_wrong_split(split):
    error = TypeError if split is None else ValueError
    with pytest.raises(error, match=r"split must be one of \('train', 'test'\), got"):
        DigitsDataset(split)


def test_missing_scikit_learn_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'sklearn.datasets', None)
    with pytest.raises(ImportError, match='pip install scikit-learn'):
        DigitsDataset()
