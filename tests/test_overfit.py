"""tools/analysis_tools/overfit.py on a few small images, and on what it must refuse."""

import json
import re
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[1]
TOOL = str(ROOT / 'tools' / 'analysis_tools' / 'overfit.py')
BOXES = f"""
_base_ = {str(ROOT / 'configs' / 'demo' / 'faster-rcnn_dia-r18_fpn_shapes.py')!r}
model = dict(
    backbone=dict(base_channels=8, norm_cfg=dict(type='BN', requires_grad=False)),
    neck=dict(in_channels=[16, 32, 64]),
    roi_head=dict(bbox_head=dict(num_classes=1)),
    test_cfg=dict(rcnn=dict(score_thr=0.0)),
)
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='RepeatDataset',
        times=2,
        dataset=dict(
            type='CocoDataset',
            data_root='data',
            ann_file='boxes.json',
            data_prefix=dict(img='images'),
            metainfo=dict(classes=('box',)),
            pipeline=[],
        ),
    )
)
randomness = dict(seed=0)
"""
MASKS = """
model['type'] = 'MaskRCNN'
model['roi_head'].update(
    mask_roi_extractor=dict(
        type='SingleRoIExtractor',
        roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=1),
        out_channels=64,
        featmap_strides=[4, 8, 16],
    ),
    mask_head=dict(
        type='FCNMaskHead',
        num_convs=1,
        in_channels=64,
        conv_out_channels=16,
        num_classes=1,
        loss_mask=dict(type='CrossEntropyLoss', use_mask=True, loss_weight=1.0),
    ),
)
model['train_cfg'] = dict(rcnn=dict(mask_size=28))
model['test_cfg']['rcnn']['mask_thr_binary'] = 0.5
"""
REPORT = re.compile(
    r'(?P<images>\d+) images, (?P<iterations>\d+) iterations, \d+ s: '
    r'loss (?P<before>\d+\.\d\d) -> (?P<after>\d+\.\d\d), (?P<found>.+)'
)


def draw_data(folder):
    """Five images with a rectangle each, of which the first has no annotation."""
    (folder / 'images').mkdir(parents=True)
    images, annotations = [], []
    for i in range(5):
        image = np.full((64, 64, 3), 40, np.uint8)
        x, y, w, h = 8 + 4 * i, 12, 24, 20 + 2 * i
        cv2.rectangle(image, (x, y), (x + w, y + h), (60, 60, 220), -1)
        cv2.imwrite(str(folder / 'images' / f'{i}.jpg'), image)
        images.append(dict(id=i, file_name=f'{i}.jpg', width=64, height=64))
        outline = [[x, y, x + w, y, x + w, y + h, x, y + h]]
        box = dict(id=i, image_id=i, category_id=7, bbox=[x, y, w, h], area=w * h, iscrowd=0)
        annotations.append(dict(box, segmentation=outline))
    categories = [dict(id=7, name='box'), dict(id=8, name='ball')]
    return dict(images=images, annotations=annotations[1:], categories=categories)


@pytest.fixture
def data(quick_runs, tmp_path, monkeypatch):
    """The content of the annotation file; the configs lie in the current folder."""
    monkeypatch.chdir(tmp_path)
    content = draw_data(tmp_path / 'data')
    Path('data/boxes.json').write_text(json.dumps(content))
    Path('boxes.py').write_text(BOXES)
    Path('masks.py').write_text(BOXES + MASKS)
    return content


@pytest.fixture
def overfit(data, monkeypatch, capsys):
    """Run the tool in this process: what its last line says."""

    def run(*args):
        monkeypatch.setattr(sys, 'argv', [TOOL, *map(str, args)])
        runpy.run_path(TOOL, run_name='__main__')
        last = capsys.readouterr().out.splitlines()[-1]
        assert REPORT.fullmatch(last), last
        return REPORT.fullmatch(last).groupdict()

    return run


@pytest.fixture
def refused(overfit, capsys):
    """Run the tool to see it refuse: its message."""

    def run(*args):
        with pytest.raises(SystemExit) as error:
            overfit('--iterations', 1, '--size', 64, *args)
        assert not Path('work_dirs').exists()
        if error.value.code == 2:  # of the parser, after the usage
            return capsys.readouterr().err.splitlines()[-1]
        assert isinstance(error.value.code, str) and '\n' not in error.value.code
        return error.value.code

    return run


def test_learns(overfit):
    sources = [Path('boxes.py'), Path('data/boxes.json')]
    before = [path.read_bytes() for path in sources]
    said = overfit('boxes.py', '--images', 3, '--iterations', 20, '--size', 64, '--lr', 0.002)
    assert (said['images'], said['iterations']) == ('3', '20')
    assert float(said['after']) < 0.8 * float(said['before'])
    assert re.fullmatch(r'bbox mAP \d\.\d{3}', said['found'])
    assert [path.read_bytes() for path in sources] == before

    folder = Path('work_dirs/overfit/boxes')
    content = json.loads((folder / 'overfit.json').read_text())
    assert [image['id'] for image in content['images']] == [1, 2, 3]  # 0 has no box
    assert [a['image_id'] for a in content['annotations']] == [1, 2, 3]
    checkpoint = torch.load(folder / 'iter_20.pth', weights_only=False)
    assert checkpoint['meta']['dataset_meta']['classes'] == ('box',)
    assert len(list(folder.glob('*.pth'))) == 1


def test_stops_early_with_masks(overfit):
    options = ('--images', 2, '--iterations', 11, '--stop-at', -1, '--work-dir', 'run')
    said = overfit('masks.py', *options, '--size', 64)
    assert said['iterations'] == '2'  # where it is evaluated first
    assert re.fullmatch(r'bbox mAP \d\.\d{3}, segm mAP \d\.\d{3}', said['found'])
    assert [path.name for path in Path('run').glob('*.pth')] == ['iter_2.pth']
    assert not Path('work_dirs').exists()


def test_one_iteration_that_detects_nothing(overfit):
    option = 'model.test_cfg.rcnn.score_thr=1.0'
    options = ('--images', 1, '--iterations', 1, '--size', 64)
    said = overfit('boxes.py', *options, '--cfg-options', option)
    assert (said['images'], said['iterations']) == ('1', '1')
    assert said['found'] == 'no detections' and said['before'] == said['after']


def test_few_iterations_are_not_counted_twice(data):
    tool = runpy.run_path(TOOL)

    class Runner:
        iter = 4

        def __getattr__(self, name):
            return self

        def run(self):
            return {'coco/bbox_mAP': 0.5}

        def get_scalar(self, name):
            self.data = [np.array([8.0, 6.0, 3.0, 1.0])]
            return self

    class Args:
        images = 3

    assert tool['report'](Runner(), Args, 2.4) == (
        '3 images, 4 iterations, 2 s: loss 7.00 -> 2.00, bbox mAP 0.500'
    )


def test_nothing_is_frozen(data):
    tool = runpy.run_path(TOOL)
    cfg = tool['Config'].fromfile('boxes.py')
    for pretrained, init_cfg in ((True, 'weights'), (False, None)):
        cfg.model.backbone.init_cfg = 'weights'
        tool['set_backbone'](cfg, pretrained)
        assert cfg.model.backbone.init_cfg == init_cfg
    assert cfg.model.backbone.frozen_stages == -1 and cfg.model.backbone.norm_cfg.requires_grad


@pytest.mark.parametrize(
    'text', ('not JSON', '[1, 2]', '{}', '{"images": [], "annotations": ["a"], "categories": []}')
)
def test_files_that_hold_no_annotations(refused, text):
    Path('data/boxes.json').write_text(text)
    message = f'{Path("data/boxes.json")} is not an annotation file in COCO format: '
    assert refused('boxes.py', '--images', 2).startswith(message)


def test_no_annotation_file(refused):
    Path('data/boxes.json').unlink()
    assert 'No such file' in refused('boxes.py', '--images', 2)


def change_first(**changes):
    """A change to all annotations but the last."""

    def change(annotations):
        return [*(dict(a, **changes) for a in annotations[:-1]), annotations[-1]]

    return change


@pytest.mark.parametrize(
    ('change', 'left'),
    (
        (lambda annotations: [], 0),
        (lambda annotations: annotations[:1], 1),
        (change_first(iscrowd=1), 1),
        (change_first(ignore=True), 1),
        (change_first(bbox=[]), 1),
        (change_first(bbox=[4, 4, 30, 0.5]), 1),
        (change_first(area=0), 1),
        (change_first(category_id=8), 1),  # not one of the config's
    ),
)
def test_too_few_images(refused, data, change, left):
    data['annotations'] = change(data['annotations'])
    Path('data/boxes.json').write_text(json.dumps(data))
    message = f"data/boxes.json has boxes of the config's classes in {left} images, not in 3"
    assert refused('boxes.py', '--images', 3) == message


def test_boxes_without_masks(refused, data):
    data['annotations'] = [dict(a, segmentation=[]) for a in data['annotations']]
    Path('data/boxes.json').write_text(json.dumps(data))
    message = "data/boxes.json has masks of the config's classes in 0 images, not in 2"
    assert refused('masks.py', '--images', 2) == message


@pytest.mark.parametrize('content', (None, b'', b'a text'))
def test_unreadable_image(refused, content):
    path = Path('data/images/2.jpg')
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert refused('boxes.py', '--images', 2) == f'image {path} cannot be read'


def test_classes_of_the_dataset(data):
    tool = runpy.run_path(TOOL)
    source = tool['ConfigDict'](type='CocoDataset', metainfo=None)
    assert len(tool['describe_classes'](source)['classes']) == 80
    source.type = 'CityscapesDataset'
    assert tool['describe_classes'](source)['classes'][0] == 'person'
    source.type = 'NoDataset'
    with pytest.raises(SystemExit, match='no dataset of type NoDataset'):
        tool['describe_classes'](source)


def test_unfit_configs(refused):
    classifier = ROOT / 'configs' / 'demo' / 'dia-resnet18_digits.py'
    assert refused(classifier) == f'{classifier} is not a config of MMDetection'
    shapes = ROOT / 'configs' / 'demo' / 'faster-rcnn_dia-r18_fpn_shapes.py'
    assert 'mmdia.ShapesDataset has no ann_file' in refused(shapes)
    Path('bare.py').write_text("default_scope = 'mmdet'")
    assert refused('bare.py').endswith('bare.py has no train_dataloader')


def test_bad_options(refused):
    for name in ('images', 'iterations', 'size', 'batch-size'):
        assert f'--{name} must be at least 1' in refused('boxes.py', f'--{name}', 0)


def test_keeps_the_annotations_of_the_config(refused, data):
    before = json.dumps(data)
    Path('data/overfit.json').write_text(before)
    option = 'train_dataloader.dataset.dataset.ann_file=overfit.json'
    message = refused('boxes.py', '--images', 2, '--work-dir', 'data', '--cfg-options', option)
    assert message == '--work-dir data holds the annotations of the config itself'
    assert Path('data/overfit.json').read_text() == before
