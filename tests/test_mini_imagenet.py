"""The converter of mini-ImageNet, on empty images."""

import os
import runpy
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[1] / 'tools' / 'dataset_converters' / 'mini_imagenet.py'
CLASSES = {'train.csv': 3, 'val.csv': 1, 'test.csv': 2}


@pytest.fixture
def source(tmp_path):
    """A split of 6 classes of 5 images each."""
    folder = tmp_path / 'source'
    (folder / 'images').mkdir(parents=True)
    number = 0
    for name, count in CLASSES.items():
        lines = ['filename,label']
        for _ in range(count):
            for image in range(5):
                filename = f'n{number:02d}-{image}.jpg'
                (folder / 'images' / filename).write_text(filename)
                lines.append(f'{filename},n{number:02d}')
            number += 1
        (folder / name).write_text('\n'.join(lines) + '\n')
    return folder


@pytest.fixture
def convert(monkeypatch):
    def run(source, target):
        monkeypatch.syspath_prepend(str(TOOL.parent))
        tool = runpy.run_path(str(TOOL))
        small = dict(CLASSES=6, TRAINING=3, VALIDATION=2)
        monkeypatch.setattr(sys, 'argv', ['mini_imagenet.py', str(source), str(target)])
        for name in small:
            monkeypatch.setitem(tool['convert'].__globals__, name, small[name])
        tool['run']('', 'folder', tool['convert'])

    return run


def test_tree(convert, source, tmp_path, capsys):
    target = tmp_path / 'deep' / 'mini-imagenet'
    convert(source, target)
    found = {str(path.relative_to(target)) for path in target.rglob('*.jpg')}
    assert found == {
        f'{"train" if image < 3 else "val"}/n{label:02d}/n{label:02d}-{image}.jpg'
        for label in range(6)
        for image in range(5)
    }
    assert all(path.read_text() == path.name for path in target.rglob('*.jpg'))
    assert os.listdir(target.parent) == ['mini-imagenet']
    assert '3 and 2 images of 6 classes' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('name', 'change', 'message'),
    (
        ('val.csv', lambda path: path.unlink(), 'val.csv'),
        ('val.csv', lambda path: path.write_text(''), "val.csv must begin with the line 'filename"),
        (
            'test.csv',
            lambda path: path.write_text(path.read_text() + 'x.jpg\n'),
            'test.csv, line 12',
        ),
        (
            'test.csv',
            lambda path: path.write_text(path.read_text() + '../x.jpg,n05\n'),
            'test.csv, line 12',
        ),
        (
            'test.csv',
            lambda path: path.write_text(path.read_text() + 'x.jpg,n05\n'),
            "and {'n05': 6} images",
        ),
        (
            'test.csv',
            lambda path: path.write_text(path.read_text().replace('n05-4', 'n05-3')),
            "and {'n05': 5} images",
        ),
        (
            'train.csv',
            lambda path: path.write_text('filename,label\n'),
            'must have 6 classes of 5 different images, but have 3 classes',
        ),
        ('images/n03-2.jpg', lambda path: path.unlink(), 'n03-2.jpg'),
    ),
)
def test_wrong_sources_leave_nothing(convert, source, tmp_path, capsys, name, change, message):
    change(source / name)
    with pytest.raises(SystemExit) as error:
        convert(source, tmp_path / 'target')
    assert error.value.code == 2 and message in capsys.readouterr().err
    assert os.listdir(tmp_path) == ['source']
