"""tools/analysis_tools/overfit.py on a few small images, and on what it must refuse."""

import json
import re
import runpy
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
def overfit(data, run_tool):
    """Run the tool in this process: what its last line says."""
    tool = 'analysis_tools/overfit.py'
    return lambda *args: REPORT.search(run_tool(tool, *args)).groupdict()


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
    checkpoint = torch.load(folder / 'iter_20.pth', weights_only=False)
    assert checkpoint['meta']['dataset_meta']['classes'] == ('box',)
    assert len(list(folder.glob('*.pth'))) == 1


def test_data_without_an_annotation_file(overfit):
    shapes = ROOT / 'configs' / 'demo' / 'faster-rcnn_dia-r18_fpn_shapes.py'
    data = 'train_dataloader.dataset.data_root=shapes'
    options = ('--images', 1, '--iterations', 1, '--size', 64, '--cfg-options', data)
    assert overfit(shapes, *options)['images'] == '1'


def test_stops_early_with_masks(overfit):
    options = ('--images', 2, '--iterations', 11, '--stop-at', -1, '--work-dir', 'run')
    said = overfit('masks.py', *options, '--size', 64)
    assert said['iterations'] == '2'  # where it is evaluated first
    assert re.fullmatch(r'bbox mAP \d\.\d{3}, segm mAP \d\.\d{3}', said['found'])
    assert [path.name for path in Path('run').glob('*.pth')] == ['iter_2.pth']
    assert not Path('work_dirs').exists()


def test_one_iteration_that_detects_nothing(overfit):
    option = 'model.test_cfg.rcnn.score_thr=1.0'
    options = ('--images', 9, '--iterations', 1, '--size', 64)
    said = overfit('boxes.py', *options, '--cfg-options', option)
    assert (said['images'], said['iterations']) == ('4', '1')  # the first of five has no box
    assert said['found'] == 'no detections' and said['before'] == said['after']


def test_few_iterations_are_not_counted_twice(data):
    tool = runpy.run_path(TOOL)

    class Runner:
        iter = 4

        def __getattr__(self, name):
            return self

        def __len__(self):
            return 3

        def run(self):
            return {'coco/bbox_mAP': 0.5}

        def get_scalar(self, name):
            self.data = [np.array([8.0, 6.0, 3.0, 1.0])]
            return self

    assert tool['report'](Runner(), 2.4) == (
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


def test_no_annotation_file(overfit):
    Path('data/boxes.json').unlink()
    with pytest.raises(SystemExit, match=r'dataset\.ann_file: data/boxes\.json does not exist'):
        overfit('boxes.py', '--images', 2)


def test_unfit_configs(refused):
    classifier = ROOT / 'configs' / 'demo' / 'dia-resnet18_digits.py'
    assert refused(classifier) == f'{classifier} is not a config of MMDetection'
    Path('bare.py').write_text("default_scope = 'mmdet'")
    assert refused('bare.py').endswith('bare.py has no train_dataloader.dataset')


def test_bad_options(refused):
    for name in ('images', 'iterations', 'size', 'batch-size'):
        assert f'--{name} must be at least 1' in refused('boxes.py', f'--{name}', 0)
