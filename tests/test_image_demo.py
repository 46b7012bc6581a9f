"""tools/image_demo.py on images, folders and videos, and on what it must refuse."""

import os
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import cv2
import mmcv
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import save_checkpoint

ROOT = Path(__file__).parents[1]
CLASSES = ('apple', 'pear', 'plum')
CONFIGS = {
    # Random weights that find something; weights that must not be fetched; norms of many devices.
    'detector': f"""
_base_ = {str(ROOT / 'configs' / 'demo' / 'faster-rcnn_dia-r18_fpn_shapes.py')!r}
init_cfg = dict(type='Pretrained', checkpoint='http://127.0.0.1:9/no-such-weights.pth')
model = dict(
    backbone=dict(base_channels=8, norm_cfg=dict(type='SyncBN'), init_cfg=init_cfg),
    neck=dict(in_channels=[16, 32, 64]),
    test_cfg=dict(rcnn=dict(score_thr=0.0)),
)
""",
    'classifier': f"""
_base_ = {str(ROOT / 'configs' / 'demo' / 'dia-resnet18_digits.py')!r}
model = dict(
    backbone=dict(base_channels=8, stem_channels=8), head=dict(in_channels=64, num_classes=3)
)
pipeline = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=32), dict(type='PackInputs')]
test_dataloader = dict(dataset=dict(pipeline=pipeline))
""",
}


@pytest.fixture(scope='module')
def models(tmp_path_factory):
    """The config and the checkpoint of each model, by its name."""
    folder = tmp_path_factory.mktemp('models')
    torch.manual_seed(0)
    for name, text in CONFIGS.items():
        (folder / f'{name}.py').write_text(text)
        cfg = Config.fromfile(folder / f'{name}.py')
        init_default_scope(cfg.default_scope)
        cfg.model.backbone.init_cfg = None
        model = MODELS.build(cfg.model)
        model.init_weights()
        meta = dict(dataset_meta=dict(classes=CLASSES))
        checkpoint = dict(state_dict=model.state_dict(), meta=meta)
        save_checkpoint(checkpoint, str(folder / f'{name}.pth'))
    return {name: (folder / f'{name}.py', folder / f'{name}.pth') for name in CONFIGS}


@pytest.fixture
def image(tmp_path):
    path = tmp_path / 'picture.png'
    # Of one colour: Matplotlib 3.10 moves small pictures by parts of a pixel.
    cv2.imwrite(str(path), np.full((60, 80, 3), (20, 120, 220), np.uint8))
    return path


@pytest.fixture
def demo(run_tool, tmp_path, monkeypatch):
    """Runs the tool in this process, and returns what it printed."""
    monkeypatch.chdir(tmp_path)
    return partial(run_tool, 'image_demo.py')


def test_image(demo, models, image):
    demo(image, *models['detector'], '--score-thr', 0)
    before, after = cv2.imread(str(image)), cv2.imread('outputs/vis/picture.png')
    assert before.shape == after.shape and (before != after).any()
    demo(image, *models['detector'], '--score-thr', 1, '--out-dir', 'there')
    assert np.array_equal(cv2.imread('there/vis/picture.png'), before)


def test_folder(demo, models, image):
    (image.parent / 'pictures').mkdir()
    for name in ('a.png', 'b.jpg'):
        cv2.imwrite(str(image.parent / 'pictures' / name), cv2.imread(str(image)))
    (image.parent / 'pictures' / 'notes.txt').touch()
    demo(image.parent / 'pictures', *models['detector'], '--score-thr', 0)
    assert {path.name for path in Path('outputs/vis').iterdir()} == {'a.png', 'b.jpg'}


def test_url(demo, models, image):
    handler = partial(SimpleHTTPRequestHandler, directory=str(image.parent))
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        demo(
            f'http://127.0.0.1:{server.server_port}/picture.png',
            *models['detector'],
            '--score-thr',
            0,
        )
        server.shutdown()
    assert cv2.imread('outputs/vis/picture.png').shape == (60, 80, 3)


def test_video(demo, models, tmp_path):
    path = tmp_path / 'film.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 10, (64, 48))
    for i in range(3):
        writer.write(np.full((48, 64, 3), (80 * i, 100, 0), np.uint8))
    writer.release()
    demo(path, *models['detector'], '--score-thr', 1)
    reader = mmcv.VideoReader('outputs/film.mp4')
    assert (reader.frame_cnt, reader.fps, reader.resolution) == (3, 10, (64, 48))
    for i, frame in enumerate(reader):
        assert np.allclose(frame.mean((0, 1)), (80 * i, 100, 0), atol=10)


CLASHES = {
    'the video itself': ('detector', ['film.mp4'], 'film.mp4', '.', 'film.mp4 would be overwrit'),
    'the image itself': ('detector', ['vis/a.jpg'], 'vis/a.jpg', '.', 'a.jpg would be overwritten'),
    'another image': ('classifier', ['a.jpg', 'a.png'], '.', '.', 'a.png would be overwritten'),
    'by another path': ('classifier', ['a.png', 'there/'], '.', 'there/..', 'would be overwritten'),
    'one for two': ('classifier', ['x.1.jpg', 'x.2.jpg'], '.', 'out', 'both become out/x.png'),
    'of two kinds': ('classifier', ['x.jpg', 'x.bmp'], '.', 'out', 'both become out/x.png'),
    'no video': ('classifier', ['film.avi'], 'film.avi', 'out', 'a classifier takes images'),
}


@pytest.mark.parametrize('kind', CLASHES)
def test_nothing_is_lost(kind, demo, models, image):
    model, files, inputs, out_dir, message = CLASHES[kind]
    folder = image.parent / 'given'
    for file in map(folder.joinpath, files):
        (file if file.suffix == '' else file.parent).mkdir(parents=True, exist_ok=True)
        if file.suffix:
            file.write_bytes(image.read_bytes())
    os.chdir(folder)
    # The weights come after the check, and are not there.
    with pytest.raises(SystemExit, match=message):
        demo(inputs, models[model][0], 'none.pth', '--out-dir', out_dir)
    assert all(path.read_bytes() == image.read_bytes() for path in folder.rglob('*.*'))
    assert not Path('out').exists()


def test_classifier(demo, models, image):
    out = demo(image, *models['classifier'], '--out-dir', 'new/deep/folder')
    assert any(f'picture.png: {name}' in out for name in CLASSES)
    assert [path.name for path in Path('new/deep/folder').iterdir()] == ['picture.png']


def test_model_by_its_name(demo, image):
    """Weights that come with the package need nothing else."""
    out = demo(image, 'resnet18-w16_b128-20e_cifar100')
    (line,) = (line for line in out.splitlines() if 'picture.png: ' in line)
    assert line.rpartition(' ')[2].isidentifier()  # the name of a class
    with pytest.raises(SystemExit, match='dia-resnet50_8xb32_in1k has no weights yet'):
        demo(image, 'dia-resnet50_8xb32_in1k')


def test_bad_inputs(demo, models, image, tmp_path):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'text.jpg').write_text('no image')
    (tmp_path / 'text.mp4').write_text('no video')
    (tmp_path / 'damaged').mkdir()
    (tmp_path / 'damaged' / 'zero.png').touch()
    (tmp_path / 'short.png').write_bytes(image.read_bytes()[:40])
    assert cv2.haveImageReader(str(tmp_path / 'short.png'))
    for name, message in (
        ('none.png', 'none.png does not exist'),
        ('empty', 'folder .*empty has no images'),
        ('text.jpg', 'image .*text.jpg cannot be read'),
        ('damaged', 'image .*zero.png cannot be read'),
        ('short.png', 'image .*short.png cannot be read: it is damaged or no image'),
        ('text.mp4', 'video .*text.mp4 cannot be read'),
    ):
        with pytest.raises(SystemExit, match=message):
            demo(tmp_path / name, *models['detector'])
    for url in ('http://127.0.0.1:9/a.jpg', 'nowhere://a.jpg'):
        with pytest.raises(SystemExit, match=f'image {url} cannot be read: '):
            demo(url, *models['detector'])
    Path('without.py').write_text('a = 1')
    Path('train.py').write_text('model = dict(type="ImageClassifier")')
    for config, message in (
        ('none.py', 'cannot be read'),
        ('without.py', 'has no model'),
        ('train.py', 'has no test_dataloader'),
    ):
        with pytest.raises(SystemExit, match=f'config {config} {message}'):
            demo(image, config, models['detector'][1])
    Path('file').touch()
    for options in (
        ('--score-thr', 1.5),
        ('--score-thr', 'nan'),
        ('--device', 'gpu'),
        ('--device', 'cuda:99'),
    ):
        with pytest.raises(SystemExit, match='2'):
            demo(image, *models['detector'], *options)
    with pytest.raises(SystemExit, match='--out-dir file cannot be written: '):
        demo(image, *models['detector'], '--out-dir', 'file')


def test_bad_checkpoints(demo, models, image, tmp_path):
    config, checkpoint = models['detector']
    content = checkpoint.read_bytes()
    (tmp_path / 'short.pth').write_bytes(content[: len(content) // 2])
    state = torch.load(checkpoint, weights_only=False)['state_dict']
    state.pop('backbone.conv1.weight')
    state['backbone.bn1.weight'] = torch.zeros(3)
    state['backbone.more.weight'] = torch.zeros(3)
    torch.save(dict(state_dict=state), tmp_path / 'other.pth')
    for path, message in (
        (tmp_path / 'short.pth', 'short.pth is truncated or not a checkpoint'),
        (
            tmp_path / 'other.pth',
            r'does not fit the config: (.|\n)*size mismatch for backbone.bn1.weight(.|\n)*'
            r'unexpected key in source state_dict: backbone.more.weight\n.*'
            r'missing keys in source state_dict: backbone.conv1.weight',
        ),
    ):
        with pytest.raises(SystemExit, match=message):
            demo(image, config, path)
