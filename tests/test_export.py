"""tools/deployment/export.py on tiny models, and on what it must refuse."""

import re
import runpy
from pathlib import Path

import onnxruntime
import pytest
import torch

from mmdia.apis import get_model
from mmdia.testing import randomize

ROOT = Path(__file__).parents[1]
TOOL = str(ROOT / 'tools' / 'deployment' / 'export.py')
CONFIGS = {
    'classifier': f"""
_base_ = {str(ROOT / 'configs' / 'demo' / 'dia-resnet18_digits.py')!r}
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmdia.CIFARResNet',
        depth=8,
        block='basic',
        base_channels=4,
        interaction=dict(type='mmdia.DIALSTM', ratio=2),
    ),
    head=dict(in_channels=16),
)
""",
    # Its head takes the channels that the interaction adds.
    'wide': """
_base_ = './classifier.py'
interaction = dict(
    _delete_=True, type='mmdia.LayerAggregation', state_channels=4, append_state=True
)
model = dict(backbone=dict(interaction=interaction), head=dict(in_channels=20))
""",
    # Norms of many devices, and what saves memory in training.
    'detector': f"""
_base_ = {str(ROOT / 'configs' / 'demo' / 'faster-rcnn_dia-r18_fpn_shapes.py')!r}
model = dict(
    backbone=dict(base_channels=8, norm_cfg=dict(type='SyncBN'), with_cp=True),
    neck=dict(in_channels=[16, 32, 64], out_channels=8),
)
""",
    'nothing': 'a = 1',
    'retriever': "model = dict(type='ImageToImageRetriever')",
}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Configs, and a checkpoint of the classifier."""
    folder = tmp_path_factory.mktemp('models')
    for name, text in CONFIGS.items():
        (folder / f'{name}.py').write_text(text)
    torch.manual_seed(0)
    state = randomize(get_model(folder / 'classifier.py')).state_dict()
    torch.save(dict(state_dict=state), folder / 'good.pth')
    del state['head.fc.bias']
    torch.save(dict(state_dict=state), folder / 'short.pth')
    return folder


@pytest.fixture
def export(folder, tmp_path, monkeypatch):
    """Run the tool where its default folder is a temporary one."""
    monkeypatch.setenv('MMDIA_TRUST', '')
    monkeypatch.chdir(tmp_path)
    main = runpy.run_path(TOOL)['main']

    def run(config, checkpoint, *args):
        checkpoint = folder / checkpoint if checkpoint.endswith('.pth') else checkpoint
        config = folder / f'{config}.py' if config in CONFIGS else config
        main([str(config), str(checkpoint), *map(str, args)])

    run.globals = main.__globals__
    return run


def images(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def test_classifier(export, folder, capsys):
    path = Path('work_dirs', 'export', 'classifier.onnx')
    path.parent.mkdir(parents=True)
    path.write_text('the file before')
    export('classifier', 'good.pth', '--size', 16, 16, '--time')
    out = capsys.readouterr().out
    assert re.search(r'largest difference .* 1 x 3 x 48 x 16: \d\.\de-\d\d\n', out)
    assert re.search(r'time: \d+\.\d\d times the plain network', out)
    assert f'wrote {path}: images to logits' in out
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    model = get_model(folder / 'classifier.py', folder / 'good.pth')
    for shape in ((1, 3, 33, 31), (5, 3, 24, 40)):
        x = images(*shape)
        (logits,) = session.run(['logits'], dict(images=x.numpy()))
        with torch.no_grad():
            expected = model(x, mode='tensor')
        torch.testing.assert_close(torch.from_numpy(logits), expected, rtol=1e-4, atol=1e-5)


def test_detector(export, tmp_path, capsys):
    out = tmp_path / 'a' / 'detector.pt2'
    export('detector', 'none', '--format', 'torch', '--size', 64, 64, '--out', out)
    assert re.search(r'wrote .*detector.pt2: images to map0, map1, map2', capsys.readouterr().out)
    module = torch.export.load(out).module()
    maps = module(images(3, 3, 64, 96))
    # One more than the strides of the backbone's three, by pooling.
    sizes = [(16, 24), (8, 12), (4, 6), (2, 3)]
    assert [tuple(m.shape) for m in maps] == [(3, 8, *size) for size in sizes]


@pytest.mark.parametrize('value', (1.0, torch.nan))
def test_a_wrong_export_replaces_no_file(export, monkeypatch, tmp_path, value):
    path = tmp_path / 'there.onnx'
    path.write_text('the file before')
    monkeypatch.setitem(export.globals, 'export', lambda *_: b'')

    def load(content, format):
        return lambda images: [torch.full((len(images), 10), value)]

    monkeypatch.setitem(export.globals, 'load', load)
    with pytest.raises(SystemExit, match='more than 1e-04; nothing is written'):
        export('classifier', 'good.pth', '--size', 16, 16, '--out', path)
    assert path.read_text() == 'the file before'


def test_missing_package(export, monkeypatch, capsys):
    found = {'onnx', 'onnxruntime'}
    monkeypatch.setitem(export.globals, 'find_spec', lambda name: name in found or None)
    with pytest.raises(SystemExit, match='2'):
        export('classifier', 'good.pth')
    assert "onnxscript not found: pip install 'mmdia[export]'" in capsys.readouterr().err


def test_bad_models(export):
    for config, checkpoint, message in (
        ('nothing', 'none', 'config .*nothing.py has no model'),
        ('retriever', 'none', r'config .*retriever.py has no model\.backbone'),
        ('nowhere.py', 'none', 'config nowhere.py cannot be read'),
        (
            'classifier',
            'short.pth',
            r'not fit the config: (.|\n)*missing keys in source state_dict: head.fc.bias',
        ),
        ('classifier', 'nowhere.pth', 'nowhere.pth'),
    ):
        with pytest.raises(SystemExit, match=message):
            export(config, checkpoint)
    options = ('--cfg-options', 'model.head=None')
    with pytest.raises(SystemExit, match='is not of a classifier, a detector'):
        export('classifier', 'none', *options)
    assert not Path('work_dirs').exists()


def test_plain_network_that_does_not_fit(export):
    with pytest.raises(SystemExit, match=r'--time: .* does not take the plain backbone'):
        export('wide', 'none', '--time')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (('--out', 'a.pt2'), '--out must end in .onnx with --format onnx, got a.pt2'),
        (('--size', '0', '8'), '--size must be positive, got 0 8'),
        (('--format', 'tf'), 'invalid choice'),
    ],
)
def test_bad_options(export, capsys, options, message):
    with pytest.raises(SystemExit, match='2'):
        export('classifier', 'good.pth', *options)
    assert message in capsys.readouterr().err


def test_file_that_cannot_be_written(export):
    Path('folder.onnx').mkdir()
    with pytest.raises(SystemExit, match=r'--out folder\.onnx cannot be written'):
        export('classifier', 'good.pth', '--out', 'folder.onnx')
