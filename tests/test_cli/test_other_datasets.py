"""The checks of data on what MMSegmentation and MMRotate give, without these libraries."""

from types import SimpleNamespace

import pytest

from mmdia.cli import data_check
from mmdia.cli.data_faults import Samples, labels_of, look_through
from mmdia.models.backbones.defaults import LIBRARIES


class LoadAnnotations:
    """Named as the transform that reads masks."""


class LoadBoxes:
    """Of MMDetection, whose transform of this name reads masks on demand."""

    with_seg = False


LoadBoxes.__name__ = 'LoadAnnotations'


class FilterAnnotations:
    """Reads none."""


class Masks:
    def __init__(self, folder, transforms):
        self.folder, self.pipeline = folder, SimpleNamespace(transforms=transforms)

    def __len__(self):
        return 1

    def get_data_info(self, index):
        image, mask = self.folder / 'a.jpg', self.folder / 'a.png'
        return dict(img_path=str(image), seg_map_path=str(mask), sample_idx=index)


@pytest.mark.parametrize(
    ('transforms', 'missing'),
    (([LoadAnnotations()], 1), ([LoadBoxes(), FilterAnnotations()], 0), ([], 0)),
)
def test_masks_are_looked_for_if_they_are_read(tmp_path, transforms, missing):
    (tmp_path / 'a.jpg').write_bytes(b'image')
    found = look_through(Masks(tmp_path, transforms))
    assert found.bad_images == [str(tmp_path / 'a.png')] * missing


def test_instances_without_a_label_have_none():
    assert labels_of(dict(instances=[dict(bbox_label=[]), dict(bbox_label=3)])) == [3]


@pytest.mark.parametrize(('number', 'warned'), ((2, True), (3, False), (4, True)))
def test_models_of_another_number_of_classes_are_warned_of(number, warned, monkeypatch):
    faults = []
    monkeypatch.setattr(data_check, 'warn', lambda key, dataset, fault: faults.append(fault))
    dataset = SimpleNamespace(metainfo=dict(classes=('a', 'b', 'c')))
    data_check.check_presence('train', dataset, Samples(), number)
    assert bool(faults) == warned


def test_backbones_in_mmrotate_are_those_of_mmdetection():
    assert LIBRARIES['mmrotate'] == LIBRARIES['mmdet'] != LIBRARIES['mmpretrain']
