"""The converters of datasets, on tiny files in the format of the real ones."""

import os
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

NAMES = 'airplane bird car cat deer dog horse monkey ship truck'.split()
LABELS = {'train': (1, 10, 3), 'test': (2, 2)}


def pixel(image, row, column, channel):
    return (7 * image + 3 * row + 5 * column + 101 * channel) % 256


def binary(count):
    """Images as the release stores them: channel by channel, each column by column."""
    image, channel, column, row = np.indices((count, 3, 96, 96))
    return pixel(image, row, column, channel).astype(np.uint8).tobytes()


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / 'source'
    folder.mkdir()
    for split, labels in LABELS.items():
        (folder / f'{split}_X.bin').write_bytes(binary(len(labels)))
        (folder / f'{split}_y.bin').write_bytes(bytes(labels))
    (folder / 'class_names.txt').write_text('\n'.join(NAMES) + '\n')
    return folder


@pytest.fixture
def convert(run_tool):
    return partial(run_tool, 'dataset_converters/stl10.py')


@pytest.fixture
def fail(convert, capsys):
    def run(*args):
        with pytest.raises(SystemExit) as error:
            convert(*args)
        assert error.value.code == 2
        return capsys.readouterr().err

    return run


def test_tree(convert, source, tmp_path):
    target = tmp_path / 'deep' / 'stl10'
    lines = convert(source, target).splitlines()
    files = {str(path.relative_to(target)) for path in target.rglob('*.png')}
    assert files == {
        'train/airplane/00000.png',
        'train/truck/00001.png',
        'train/car/00002.png',
        'test/bird/00000.png',
        'test/bird/00001.png',
    }
    # Classes without images keep their place among the labels.
    for split in LABELS:
        assert sorted(os.listdir(target / split)) == sorted(NAMES)
    assert os.listdir(target.parent) == ['stl10']
    assert lines[0] == 'train: 3 images in 10 classes' and lines[1].startswith('test: 2 images')


def test_pixels(convert, source, tmp_path):
    convert(source, tmp_path / 'stl10')
    bgr = cv2.imread(str(tmp_path / 'stl10' / 'train' / 'car' / '00002.png'))
    assert bgr.shape == (96, 96, 3)
    rgb = bgr[..., ::-1]
    for row, column, channel in ((0, 0, 0), (90, 4, 0), (4, 90, 1), (95, 0, 2)):
        assert rgb[row, column, channel] == pixel(2, row, column, channel)


def test_source_may_be_the_folder_of_the_archive_and_target_empty(convert, source, tmp_path):
    archive = tmp_path / 'archive'
    archive.mkdir()
    source.rename(archive / 'stl10_binary')
    (tmp_path / 'real').mkdir()
    (tmp_path / 'link').symlink_to('real')
    convert(archive, tmp_path / 'link')
    assert (tmp_path / 'real' / 'test' / 'bird' / '00001.png').is_file()


@pytest.mark.parametrize(
    'name', ('train_X.bin', 'train_y.bin', 'test_X.bin', 'test_y.bin', 'class_names.txt')
)
def test_missing_file(fail, source, tmp_path, name):
    (source / name).unlink()
    message = fail(source, tmp_path / 'stl10')
    assert f'{name} is neither in {source} nor in' in message
    assert f'stl10_binary.tar.gz there, which has it as stl10_binary/{name}' in message
    assert os.listdir(tmp_path) == ['source']


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    (
        ('test_X.bin', binary(2)[:-1], 'test_X.bin has 55295 bytes'),
        ('test_X.bin', binary(2) + b'x', 'test_X.bin has 55297 bytes'),
        ('train_X.bin', b'', 'train_X.bin has 0 bytes'),
        ('train_X.bin', binary(2), '3 labels, but train_X.bin has 2 images'),
        ('test_y.bin', bytes((1, 2, 3)), '3 labels, but test_X.bin has 2 images'),
        ('test_y.bin', bytes((0, 1)), 'test_y.bin has a label 0, but they go from 1 to 10'),
        ('test_y.bin', bytes((10, 11)), 'test_y.bin has a label 11, but'),
        ('class_names.txt', b'cat\ndog\n', "10 different names, but has ['cat', 'dog']"),
        ('class_names.txt', b'\n'.join(map(str.encode, [*NAMES, 'cat'])), '10 different names'),
    ),
)
def test_damaged_file(fail, source, tmp_path, name, content, message):
    (source / name).write_bytes(content)
    assert message in fail(source, tmp_path / 'stl10')
    assert os.listdir(tmp_path) == ['source']


def test_target_in_use(fail, source, tmp_path):
    target = tmp_path / 'stl10'
    target.mkdir()
    (target / 'mine').write_text('precious')
    assert f'{target} exists and is not an empty folder' in fail(source, target)
    assert [path.name for path in target.iterdir()] == ['mine']
    assert 'not an empty folder' in fail(source, target / 'mine')
    assert (target / 'mine').read_text() == 'precious'


@pytest.mark.parametrize('error', (KeyboardInterrupt, MemoryError))
def test_interruption_leaves_nothing(convert, source, tmp_path, monkeypatch, error):
    written = []

    def write(path, image, imwrite=cv2.imwrite):
        if len(written) == 4:  # within the last split
            raise error
        written.append(path)
        return imwrite(path, image)

    monkeypatch.setattr(cv2, 'imwrite', write)
    with pytest.raises(error):
        convert(source, tmp_path / 'stl10')
    assert len(written) == 4 and os.listdir(tmp_path) == ['source']
    # Beside the target, hence on the same disk
    assert all(Path(path).is_relative_to(tmp_path) for path in written)


def test_disk_full(fail, source, tmp_path, monkeypatch):
    monkeypatch.setattr(cv2, 'imwrite', lambda path, image: False)
    assert 'could not write' in fail(source, tmp_path / 'stl10')
    assert os.listdir(tmp_path) == ['source']
