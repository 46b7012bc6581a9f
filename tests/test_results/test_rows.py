"""The table of what the papers print is consistent, and its runs are what it says."""

import re
import runpy
from argparse import ArgumentParser
from collections import Counter
from pathlib import Path

import pytest

from mmdia.cli.command_line import add_common_arguments
from mmdia.results import rows as table
from mmdia.results.rows import COLUMNS, parse_options, read_config, read_rows, row_config

from ..helpers import count_parameters, paper_params

ROOT = Path(__file__).parents[2]
ROWS = read_rows()
RUNS = {row.run: row for row in ROWS if row.run}
PAPERS = [row for row in ROWS if row.paper != 'mmdia']  # the others are comparisons of our own

# Rows by columns, as the papers print them.
FIGURES = {
    'DIANet': {'1': 3, '3': 36, '4': 4, '5': 8, '6': 5, '7': 3, '8': 12, '9': 6},
    'LSA': {
        **{'3': 84, '4': 60, '6': 20, '7': 24, '8': 144, '9': 12},
        **{'10': 4, '11': 8, '12': 5, '13': 3, '14': 12, '15': 6},
    },
    'DLA': {'1': 20 * 2, '2': 19 * 2 - 1, '3': 30 * 6, '4': 4, '5': 8, '6': 8},
    'RLA': {'1': 8 * 2, '2': 15 * 2 + 9 * 2 + 4 * 2, '3': 8 * 2},
}
# Counts that no model can give, in millions, by table.
IRREPRODUCIBLE = {
    ('LSA', '4'): ['1.92', '1.93', '1.96'],
    ('DLA', '2'): ['27.2', '27.2', '29.4', '47.8', '47.8'],
    ('DLA', '3'): ['82.2'],
    ('DLA', '4'): ['1.39', '1.39', '1.46'],
    ('RLA', '2'): ['0.871', '1.755'],
}
CLASSES = {
    'CIFAR-10': 10,
    'CIFAR-100': 100,
    'STL-10': 10,
    'ImageNet': 1000,
    'mini-ImageNet': 100,
    'chest X-ray': 2,
}
METRICS = {
    *('accuracy', 'accuracy_top5', 'accuracy_pneumonia', 'accuracy_normal', 'error', 'error_top5'),
    *('box_AP', 'box_AP50', 'box_AP75', 'box_AP_S', 'box_AP_M', 'box_AP_L'),
    *('mask_AP', 'mask_AP50', 'mask_AP75'),
}
COUNTS = {'', 'trainable', 'tenth', 'with_conv_biases', 'with_conv_biases_and_statistics'}


def test_all_figures_of_the_papers_are_there():
    printed = Counter((row.paper, row.table) for row in PAPERS if row.printed)
    assert printed == {(paper, n): k for paper, ns in FIGURES.items() for n, k in ns.items()}
    # once each
    lines = Counter(
        (row.run, row.network, row.method, row.data, row.paper, row.table, row.metric)
        for row in ROWS
    )
    assert lines.most_common(1)[0][1] == 1


def test_values():
    for row in PAPERS:
        number = r'\d{1,2}\.\d+'
        assert row.paper in FIGURES and re.fullmatch(r'\d+|Fig\. \d+|App\. C', row.table)
        assert row.network and row.method and row.data and row.metric in METRICS
        assert re.fullmatch(rf'({number}|nan)?', row.printed), row
        assert re.fullmatch(rf'({number})?', row.spread) and (row.printed or not row.spread)
        assert re.fullmatch(rf'({number})?', row.params) and row.count in COUNTS
        assert bool(row.run) == bool(row.config) and (row.run or not row.options)
        # what stands for a table's figure has it, or says why not
        assert row.printed or row.note
        # what we cannot count has no config
        assert bool(row.exact_params) == bool(row.params and row.run)


def test_runs_have_one_name():
    names = {(row.config, row.options) for row in ROWS if row.run}
    assert len(names) == len(RUNS)
    for row in ROWS:
        if row.run:
            same = ('config', 'options', 'network', 'method', 'data')
            assert all(getattr(row, key) == getattr(RUNS[row.run], key) for key in same)
            # a config without options is its own run
            assert (row.run == row.config.removesuffix('.py')) == (not row.options)


def test_options_are_those_of_the_command_line():
    parser = ArgumentParser()
    add_common_arguments(parser)
    for options in {row.options for row in ROWS if row.options}:
        args = parser.parse_args(['--cfg-options', *options.split()])
        assert parse_options(options) == args.cfg_options
    assert parse_options("a.b='x y' c=None d=True,2.0") == {
        'a.b': 'xy',
        'c': None,
        'd': [True, 2.0],
    }
    assert parse_options('') == {}


@pytest.mark.usefixtures('metafiles_are_read_once')
@pytest.mark.parametrize('run', RUNS)
def test_run(run):
    row = RUNS[run]
    cfg = row_config(row)
    if row.paper != 'mmdia':
        backbone = cfg.model.backbone
        shorthand = backbone.type in ('mmdia.DIAResNet', 'mmdia.DLAResNet', 'mmdia.RLAResNet')
        plain = not shorthand and backbone.get('interaction') is None
        assert plain == (row.method == 'plain')
        if not row.data.startswith('COCO'):
            assert cfg.model.head.num_classes == CLASSES[row.data]
        depth = re.search(r'(?:ResNet|ResNeXt|WRN| R)(\d+)', row.network)[1]
        assert backbone.depth == int(depth)
    count_parameters(cfg)  # builds the model
    for row in ROWS:
        if row.run == run and row.exact_params:
            count = count_parameters(cfg, row.count)
            assert count == row.exact_params
            result = paper_params['Result'](row, count)
            assert result.reproduced or row.note
            figures = IRREPRODUCIBLE.get((row.paper, row.table), [])
            assert result.reproduced or row.params in figures


def test_irreproducible_counts():
    results = [paper_params['Result'](row, row.exact_params) for row in PAPERS if row.exact_params]
    differing = {}
    for result in results:
        if not result.reproduced:
            row = result.row
            differing.setdefault((row.paper, row.table), []).append(row.params)
    assert {key: sorted(params) for key, params in differing.items()} == IRREPRODUCIBLE


def test_configs_are_copied():
    row = RUNS['dia/se-resnet164_b128-180e_cifar100']
    cfg = row_config(row)
    assert cfg.model.backbone.interaction == dict(
        type='mmdia.BlockAttention', attention=dict(type='mmdia.SE', ratio=16)
    )
    assert cfg.filename == str(table.CONFIGS / row.config)
    assert read_config(row.config).model.backbone.interaction.type == 'mmdia.DIALSTM'


def test_images_without_augmentation():
    import numpy as np
    from mmengine.registry import init_default_scope
    from mmpretrain.registry import TRANSFORMS

    init_default_scope('mmpretrain')
    cfg = row_config(RUNS['dia/dia-resnet164_b128-180e_cifar10-noaug'])
    crop, flip, _ = map(TRANSFORMS.build, cfg.train_dataloader.dataset.pipeline)
    image = np.random.default_rng(0).integers(256, size=(32, 32, 3), dtype=np.uint8)
    for _ in range(8):
        assert np.array_equal(flip(crop(dict(img=image)))['img'], image)


@pytest.mark.parametrize(
    ('text', 'message'),
    (
        ('', 'line 1: the columns must be run,paper,table,'),
        ('run,paper\n', 'line 1: the columns must be run,paper,table,'),
        ('{header}\na,b\n', 'line 2: zip'),
        ('{header}\n{row},more\n', 'line 2: zip'),
        ('{header}\n{row}\n{wrong}\n', "line 3: .*'1.5e6'"),
        ('{header}\n"{row}\n', 'line 2: unexpected end of data'),
        ('{header}\n\xff', 'line 1: .*decode'),
    ),
)
def test_files_that_are_no_table(tmp_path, text, message):
    cells = dict.fromkeys(COLUMNS, '')
    wrong = ','.join(dict(cells, exact_params='1.5e6').values())
    text = text.format(header=','.join(COLUMNS), row=','.join(cells.values()), wrong=wrong)
    path = tmp_path / 'rows.csv'
    path.write_text(text, encoding='latin-1')
    with pytest.raises(ValueError, match=rf'rows\.csv, {message}'):
        read_rows(path)


def test_page_is_up_to_date():
    tool = runpy.run_path(str(ROOT / 'tools' / 'analysis_tools' / 'list_configs.py'))
    assert (ROOT / 'docs' / 'configs.md').read_text(encoding='utf-8') == tool['page']()


@pytest.mark.parametrize(
    ('params', 'count', 'what', 'verdict'),
    (
        ('1.95', 1_946_132, '', 'reproduced'),
        ('25.55', 25_557_032, '', 'reproduced, if truncated'),
        ('2.897', 28_970_040, 'tenth', 'reproduced, in tens of millions'),
        ('27.2', 28_581_812, '', 'differs (why)'),
    ),
)
def test_verdict(params, count, what, verdict):
    row = table.Row(**dict.fromkeys(COLUMNS, '') | dict(params=params, count=what, note='why'))
    assert paper_params['Result'](row, count).verdict == verdict


def test_tool(monkeypatch, capsys):
    main = paper_params['main']
    rows = [row for row in ROWS if row.table == '6' and row.network == 'ResNet56']
    monkeypatch.setitem(main.__globals__, 'read_rows', lambda: rows)
    monkeypatch.setattr('sys.argv', ['paper_params.py', '--paper', 'DLA'])
    main()
    *_, line, differing, summary = capsys.readouterr().out.splitlines()
    assert re.match(r'DLA +6 ResNet56, LII \(DSU\) r=4 +CIFAR-100 +0\.79 +789,396 +repro', line)
    assert (differing, summary) == ('0 differ for the reason given', 'reproduced 4 of 4')
    monkeypatch.setattr('sys.argv', ['paper_params.py', '--paper', 'DLB'])
    with pytest.raises(SystemExit, match='there are no counts of DLB'):
        main()
