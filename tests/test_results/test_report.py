"""tools/analysis_tools/report.py: one page on several runs."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from mmdia.results.differences import config_differences, flatten
from mmdia.results.models import Model
from mmdia.results.report import curves, main_metrics

from .test_compare import write_run

ROOT = Path(__file__).parents[2]
with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(ROOT / 'tools' / 'analysis_tools')
    import report

CHROMIUM = shutil.which('chromium') or shutil.which('google-chrome')
PIXEL = bytes.fromhex(  # a PNG of one pixel
    '89504e470d0a1a0a0000000d4948445200000001000000010800000000'
    '3a7e9b550000000a49444154789c6360000000020001e221bc330000000049454e44ae426082'
)
MODEL = """
default_scope = 'mmpretrain'
train_cfg = dict(max_epochs=2)
randomness = dict(seed={seed})
model = dict(
    type='ImageClassifier',
    backbone=dict(type='mmdia.ResNet', depth=18, base_channels=8, stem_channels=8{interaction}),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=3, in_channels=64),
)
"""


@pytest.fixture
def page(tmp_path, monkeypatch):
    """The page of three runs of two models."""
    dia = ", interaction=dict(type='mmdia.DIALSTM', ratio=4)"
    runs = [
        write_run(tmp_path / 'a', MODEL.format(seed=0, interaction=''), 50.0, 'plain'),
        write_run(tmp_path / 'b', MODEL.format(seed=1, interaction=''), 52.0, 'plain'),
        write_run(tmp_path / 'c', MODEL.format(seed=0, interaction=dia), 53.0, 'dia<'),
    ]
    (runs[2] / 'gates.png').write_bytes(PIXEL)
    out = tmp_path / 'page.html'
    options = ['--baseline', 'plain', '--image-size', '32', '--out', str(out)]
    monkeypatch.setattr(sys, 'argv', ['report.py', *map(str, runs), *options])
    report.main()
    return out


def test_page(page):
    html = page.read_text(encoding='utf-8')
    rows = [re.findall('<td>(.*?)</td>', row) for row in re.findall('<tr>.*?</tr>', html)]
    plain, dia = [[row[0], *row[3:]] for row in rows[1:3]]
    assert plain == ['plain', '51.00 ± 1.41', '2', '']
    assert dia == ['dia&lt;', '53.00', '1', '+3.00']
    assert ['model.backbone.interaction.type', '', 'mmdia.DIALSTM'] in rows
    assert not any('randomness' in cell for row in rows for cell in row)
    assert html.count('<svg') == 2 and 'src="data:image/png;base64,' in html
    # Namespaces are names, no addresses that a browser reads.
    addresses = re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?([^"\')\s>]+)', html)
    assert addresses and all(address.startswith(('data:', '#')) for address in addresses)


@pytest.mark.skipif(CHROMIUM is None, reason='needs Chromium')
@pytest.mark.parametrize('width', (390, 1400))
def test_page_fits_the_screen(page, width, tmp_path):
    measure = (
        '<script>document.title = [document.documentElement.scrollWidth, innerWidth, '
        'document.images[0].naturalWidth, document.querySelectorAll("svg path").length]</script>'
    )
    page.write_text(page.read_text(encoding='utf-8') + measure, encoding='utf-8')
    command = [
        CHROMIUM,
        *('--headless', '--no-sandbox', '--disable-gpu', '--no-first-run'),
        *('--disable-background-networking', '--disable-component-update', '--disable-sync'),
        f'--user-data-dir={tmp_path / "browser"}',
        f'--window-size={width},900',
        '--dump-dom',
        page.as_uri(),
    ]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    page_width, window, picture, paths = map(
        int, re.search('<title>(.*?)</title>', dom).group(1).split(',')
    )
    assert page_width <= window
    assert picture == 1 and paths > 0


def test_differences():
    first = Config(dict(a=dict(b=1, c=[dict(type='X'), dict(type='Y')]), seed=1, d=[1, 2]))
    second = Config(dict(a=dict(b=2, c=[dict(type='X'), dict(type='Z', n=3)]), seed=1))
    assert config_differences([first, second]) == [
        ['a.b', '1', '2'],
        ['a.c.1.type', 'Y', 'Z'],
        ['d', '[1, 2]', ''],
        ['a.c.1.n', '', '3'],
    ]
    assert dict(flatten(dict(a=None, b={}))) == {'a': 'None', 'b': '{}'}
    # Which library a part comes from is no option.
    assert dict(flatten(dict(a=dict(type='X', _scope_='mmdet')))) == {'a.type': 'X'}


def test_curves_show_figures_as_tables_do():
    metrics = {'coco/bbox_mAP': [None, 0.5, 0.6]}
    record = dict(steps=[1, 2, 3], losses=[2.0, None, 1.0], metrics=metrics)
    model = Model('a', Config(dict(train_cfg=dict(max_epochs=3))), [record], *[None] * 4)
    loss, ap = (figure.axes[0] for figure in curves([model], 'box_AP').values())
    assert (ap.get_ylabel(), ap.get_xlabel()) == ('box_AP', 'epoch')
    assert ap.lines[0].get_xydata().tolist() == [[2, 50], [3, 60]]
    assert loss.lines[0].get_xydata().tolist() == [[1, 2], [3, 1]]


def test_metrics_of_runs_of_several_kinds():
    records = [
        dict(last={'accuracy/top1': 1, 'accuracy/top5': 2}),
        dict(last={'coco/bbox_mAP': 1}),
        dict(last={'mIoU': 1, 'aAcc': 2}),
        dict(last={'accuracy/top1': 3}),
    ]
    assert main_metrics(records) == ['accuracy', 'box_AP', 'mIoU']


def test_picture_of_another_kind(page, monkeypatch, tmp_path):
    options = ['--pictures', str(tmp_path / 'a.tiff'), '--image-size', '32', '--out', str(page)]
    monkeypatch.setattr(sys, 'argv', ['report.py', str(tmp_path / 'a'), *options])
    before = page.read_bytes()
    with pytest.raises(SystemExit, match=r'a\.tiff must end in \.png, \.jpg, \.svg'):
        report.main()
    assert page.read_bytes() == before


def test_folder_in_place_of_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr(report, 'read_sources', lambda _: pytest.fail('began to work'))
    monkeypatch.setattr(sys, 'argv', ['report.py', '--out', str(tmp_path)])
    with pytest.raises(SystemExit, match=f'--out {tmp_path} cannot be written: '):
        report.main()


def test_runs_of_one_kind_among_others(tmp_path, monkeypatch):
    lines = [
        dict(run='plain', config=str(tmp_path / 'a' / 'plain.py'), seed=0, seconds=1.0, steps=[1])
        | dict(
            losses=[1.0], metrics={'accuracy/top1': [5.0]}, best={}, last={'accuracy/top1': 5.0}
        ),
        dict(run='detector', config='', seed=0, seconds=1.0, best={}, last={'coco/bbox_mAP': 0.5}),
    ]
    write_run(tmp_path / 'a', MODEL.format(seed=0, interaction=''), 50.0, 'plain')
    records, out = tmp_path / 'a.jsonl', tmp_path / 'page.html'
    records.write_text('\n'.join(map(json.dumps, lines)))
    options = ['--image-size', '32', '--out', str(out)]
    monkeypatch.setattr(sys, 'argv', ['report.py', str(records), '--runs', 'plain', *options])
    report.main()
    assert '<td>plain</td>' in out.read_text() and 'box_AP' not in out.read_text()
    monkeypatch.setattr(sys, 'argv', ['report.py', str(records), '--runs', 'no*', *options])
    with pytest.raises(SystemExit, match=r"there is no record of --runs 'no\*'"):
        report.main()
