"""docs/other_libraries.md, from start to end: its configs and commands on tiny data."""

import copy
import multiprocessing.dummy
import re
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmcv import VideoReader
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, init_default_scope

import mmdia
from mmdia.apis import get_model
from mmdia.cli.data_faults import look_through
from mmdia.models import ResNet
from mmdia.results.complexity import count_flops, measure_complexity
from mmdia.testing import randomize

from .test_your_data import ROOT, write_image

pytestmark = pytest.mark.usefixtures('metafiles_are_read_once')
SHORT = r'iter_\d+|epoch_\d+', lambda found: 'iter_4' if 'iter' in found[0] else 'epoch_1'
PAGE = (ROOT / 'docs' / 'other_libraries.md').read_text(encoding='utf-8')
CONFIGS = dict(re.findall(r'`(\w+\.py)`:\n\n```python\n(.*?)^```$', PAGE, re.M | re.S))
COMMANDS = re.findall(r'^python tools/(.*)$', re.sub(*SHORT, PAGE), re.M)
(EXAMPLE,) = re.findall(r'^```python\n(import .*?)^```$', PAGE, re.M | re.S)
NAMES = ('a', 'b', 'c', 'd')
CONTEXT = dict(cfg=dict(type='ContextBlock', ratio=1 / 4), position='after_conv3')
# Added to the configs: narrow networks on small images, for a few iterations.
SLIM = """
model['backbone'].update(
    base_channels=8,
    stem_channels=8,
    init_cfg=dict(type='Pretrained', checkpoint='trunk.pth'),
)
for loader in (train_dataloader, val_dataloader):
    loader.update(batch_size=2, num_workers=0, persistent_workers=False)
"""
SLIM_SEGMENTATION = """
model.update(pretrained=None, data_preprocessor=dict(size=(64, 64)))
model['backbone']['interaction']['ratio'] = 4
model['decode_head'].update(in_channels=256, c1_in_channels=32, channels=16, c1_channels=8)
model['auxiliary_head'].update(in_channels=128, channels=8)
_base_.train_pipeline[2].update(scale=(64, 64), ratio_range=(1.0, 1.0))
_base_.train_pipeline[3].crop_size = (64, 64)
_base_.train_pipeline[6].size = (64, 64)
_base_.test_pipeline[1].scale = (64, 64)
train_cfg = dict(max_iters=4, val_interval=4)
default_hooks = dict(
    checkpoint=dict(interval=2), attention=dict(type='mmdia.AttentionHook', interval=2)
)
"""
SLIM_ROTATED = """
model['backbone'].update(depth=18, ratio=4)
model['neck'] = dict(in_channels=[8, 16, 32, 64], out_channels=8)
model['bbox_head'].update(in_channels=8, feat_channels=8, stacked_convs=1)
model['test_cfg'] = dict(score_thr=0.0, max_per_img=2)
for loader, step in ((_base_.train_dataloader, 3), (_base_.val_dataloader, 1)):
    loader.dataset.pipeline[step].scale = (64, 64)
_base_.test_dataloader.dataset.pipeline[1].scale = (64, 64)
train_cfg = dict(max_epochs=1)
"""


def write_fruit():
    mask = np.zeros((64, 64), np.uint8)
    mask[10:30], mask[40:60, 40:60], mask[:5] = 1, 2, 255
    for part in ('train', 'val'):
        Path('data/fruit/masks', part).mkdir(parents=True)
        for name in NAMES:
            write_image(Path('data/fruit/images', part, f'{name}.jpg'))
            cv2.imwrite(f'data/fruit/masks/{part}/{name}.png', mask)


def write_harbors():
    (line,) = re.findall(r'`([\d ]+ship 0)`', PAGE)
    for part in ('train', 'val'):
        Path('data/harbors', part, 'annfiles').mkdir(parents=True)
        for name in NAMES:
            write_image(Path('data/harbors', part, 'images', f'{name}.png'))
            lines = f'{line}\n{line.replace("ship 0", "crane 1")}\n'
            Path(f'data/harbors/{part}/annfiles/{name}.txt').write_text(lines)


def prepare(task, slim, **trunk):
    """Write data, a plain trunk, and the config of the page, made small; the page's commands."""
    dict(fruit=write_fruit, harbors=write_harbors)[task]()
    plain = MODELS.build(dict(trunk, base_channels=8, stem_channels=8))
    torch.save(plain.state_dict(), 'trunk.pth')
    Path(f'{task}.py').write_text(CONFIGS[f'{task}.py'] + SLIM + slim)
    commands = [command.split() for command in COMMANDS if f' {task}.py' in command]
    assert [tool for tool, *_ in commands] == ['train.py', 'test.py', 'image_demo.py']
    return commands


def weights_of(checkpoint):
    return torch.load(checkpoint, weights_only=False)['state_dict']


def assert_drawn():
    assert len(list(Path().rglob('shown/**/*.png'))) == len(NAMES)
    assert len(list(Path('outputs/vis').iterdir())) == len(NAMES)


@pytest.fixture
def run(run_tool, tmp_path, monkeypatch):
    """Runs a tool in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return run_tool


@pytest.fixture
def fruit():
    pytest.importorskip('mmseg')
    return partial(prepare, 'fruit', SLIM_SEGMENTATION, type='mmdia.ResNetV1c', depth=50)


def test_segmentation(run, fruit):
    from mmseg.visualization import SegLocalVisualizer

    train, test, demo = fruit()
    checkpoint = 'work_dirs/fruit/iter_4.pth'
    run(*train)
    trained = weights_of(checkpoint)
    (scalars,) = Path('work_dirs/fruit').rglob('scalars.json')
    assert 'attention/gate/layer4.2/mean' in scalars.read_text()
    Path(checkpoint).unlink()
    run(*train, '--resume', 'work_dirs/fruit/iter_2.pth')
    resumed = weights_of(checkpoint)
    assert all(torch.equal(resumed[key], value) for key, value in trained.items())
    SegLocalVisualizer._instance_dict.clear()  # that of the training writes elsewhere
    assert 'mIoU' in run(*test)
    run(*demo)
    assert_drawn()
    film = cv2.VideoWriter('film.avi', cv2.VideoWriter_fourcc(*'MJPG'), 10, (64, 48))
    film.write(np.zeros((48, 64, 3), np.uint8))
    film.release()
    run('image_demo.py', 'film.avi', 'fruit.py', checkpoint)
    assert len(VideoReader('outputs/film.mp4')) == 1
    names = {}
    exec(EXAMPLE.replace('iter_20000', 'iter_4'), names)
    assert cv2.imread('fruit.png').shape == (64, 64, 3)
    model = get_model('fruit.py', checkpoint)
    assert model.dataset_meta['classes'] == ('background', 'apple', 'pear')
    again = names['inference_model'](model, names['image'])
    for classes in (names['result'].pred_sem_seg.data[0], names['classes_of_pixels']):
        assert np.array_equal(again.pred_sem_seg.data[0], classes)


def test_segmentation_starts_from_a_plain_network(run, fruit):
    fruit()
    cfg = Config.fromfile('fruit.py')
    plain = cfg.copy()
    plain.model.backbone.pop('interaction')
    plain = randomize(get_model(plain))
    torch.save(dict(state_dict=plain.state_dict()), 'plain.pth')
    model = get_model(cfg, 'plain.pth')
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model(images), plain(images))


@pytest.mark.parametrize(
    'trunk',
    (
        dict(type='ResNetV1c', depth=18),
        dict(type='ResNetV1d', depth=50, plugins=[CONTEXT], contract_dilation=True, with_cp=True),
        dict(type='ResNeXt', depth=50, groups=2, multi_grid=(1, 2, 4), frozen_stages=1),
    ),
    ids=lambda trunk: trunk['type'],
)
def test_attached_to_a_segmentation_network(trunk):
    pytest.importorskip('mmseg')
    init_default_scope('mmseg')
    trunk = dict(trunk, base_channels=8, strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4))
    channels = 64 if trunk['depth'] == 18 else 256
    head = dict(type='FCNHead', in_channels=channels, channels=8, dropout_ratio=0)
    cfg = dict(type='EncoderDecoder', backbone=trunk, decode_head=dict(head, num_classes=3))
    model, images = randomize(MODELS.build(cfg)), torch.randn(2, 3, 64, 64)
    expected = [copy.deepcopy(model).train(training)(images) for training in (False, True)]
    dia = dict(type='mmdia.DIALSTM', ratio=2)
    mmdia.attach(model, dia)
    for training, before in zip((False, True), expected):
        assert torch.equal(model.train(training)(images), before)
    native = MODELS.build(dict(trunk, type=f'mmdia.{trunk["type"]}', interaction=dia))
    native.load_state_dict(randomize(model).backbone.state_dict())
    for training in (False, True):
        native.train(training)
        model.train(training)
        assert all(map(torch.equal, native(images), model.backbone(images)))


def test_tools_on_segmentation(run, fruit, capsys):
    fruit()
    run('analysis_tools/attention.py', 'curve', 'fruit.py', 'none', '--split', 'val')
    assert Path('work_dirs/analysis/curve.csv').read_text().count('gate,layer4') == 3
    run('analysis_tools/gradients.py', 'fruit.py', 'none')
    assert 'layer4' in Path('work_dirs/analysis/gradients.csv').read_text()
    with pytest.raises(SystemExit, match='fruit is no classifier'):
        run('analysis_tools/grad_cam.py', 'data/fruit/images/val/a.jpg', 'fruit.py', 'none')
    cfg = Config.fromfile('fruit.py')
    cfg.pop('tta_model')
    cfg.dump('bare.py')
    with pytest.raises(SystemExit, match='needs a tta_model and a tta_pipeline'):
        run('test.py', 'bare.py', 'trunk.pth', '--tta')
    said = run('deployment/export.py', 'fruit.py', 'none', '--size', '64', '64')
    assert 'images to logits' in said
    whole, backbone = measure_complexity(cfg, 64).flops, count_flops(get_model(cfg).backbone, 64)
    assert whole > backbone  # the decode head, too


def test_rotated_boxes(run, monkeypatch):
    pytest.importorskip('mmrotate')
    # The metric starts processes that import everything anew, four for each evaluation.
    metric = 'mmrotate.evaluation.functional.mean_ap'
    monkeypatch.setattr(f'{metric}.get_context', lambda _: multiprocessing.dummy)
    train, test, demo = prepare('harbors', SLIM_ROTATED, type='mmdia.ResNet', depth=18)
    run(*train)
    assert 'dota/mAP' in run(*test)
    run(*demo)
    assert_drawn()
    cfg = Config.fromfile('harbors.py')
    assert len(get_model(cfg).extract_feat(torch.zeros(1, 3, 64, 64))) == 5


def test_missing_masks_are_found(fruit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fruit()
    dataset = dict(Config.fromfile('fruit.py').val_dataloader.dataset, _scope_='mmseg')
    missing = Path('data/fruit/masks/val/b.png')
    missing.unlink()
    found = look_through(DATASETS.build(dataset), num_classes=3)
    assert (found.looked_at, found.bad_images) == (8, [str(missing)])
    dataset['pipeline'] = []
    assert not look_through(DATASETS.build(dataset)).bad_images


def test_rotated_boxes_without_annotations(tmp_path):
    """As MMRotate's test on the images of DOTA, whose annotations are not public."""
    pytest.importorskip('mmrotate')
    write_image(tmp_path / 'a.png')
    dataset = dict(type='mmrotate.DOTADataset', data_prefix=dict(img_path=str(tmp_path)))
    found = look_through(DATASETS.build(dict(dataset, test_mode=True)), num_classes=15)
    assert found.looked_at == 1 and not found.labels and not found.bad_images


def test_defaults_in_mmrotate_are_those_of_mmdet():
    init_default_scope('mmrotate')
    model = ResNet(18, base_channels=8)
    assert model.out_indices == (0, 1, 2, 3) and model.norm_eval
    assert model.conv1.out_channels == 8


def test_every_config_and_command_is_run():
    assert CONFIGS.keys() == {'fruit.py', 'harbors.py'} and len(COMMANDS) == 6
    assert len(CONFIGS) + 1 == PAGE.count('```python')
