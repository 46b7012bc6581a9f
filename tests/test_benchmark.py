"""tools/analysis_tools/benchmark.py: what it measures, against what is known; no times."""

import csv
import re
import sys
from itertools import count
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from torch import nn

from mmdia.models import Attention, ResNet
from mmdia.registry import MODELS

from .helpers import INTERACTIONS, SLIM

ROOT = Path(__file__).parents[1]
with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(ROOT / 'tools' / 'analysis_tools')
    import benchmark
    import benchmark_report
    import measurement
    import operator_times

CASES = list(benchmark.load(benchmark.TABLE))
SETTING = measurement.Setting(batch_size=2, image_size=8)
TINY = ('type=mmdia.CIFARResNet', 'depth=11', 'base_channels=4')
QUICK = ('--rounds', 2, '--image-size', 8)
BACKBONES = (
    dict(type='mmdia.ResNet', depth=18),
    dict(type='mmdia.DIAResNet', depth=18, ratio=8, extra_norm=True, deep_stem=True),
    dict(type='mmdia.DLAResNet', depth=50, head_channels=16, stages=(True, False, True, True)),
    dict(type='mmdia.RLAResNet', depth=34, gate='vector', out_indices=(1, 3)),
    dict(type='mmdia.CIFARResNet', depth=11, interaction=dict(type='mmdia.DIALSTM', ratio=4)),
    dict(type='mmdia.PreResNet', depth=11, interaction=dict(type='mmdia.DIALSTM', ratio=4)),
    dict(
        type='mmdia.WideResNet',
        depth=10,
        widen_factor=2,
        interaction=dict(type='mmdia.DLALight', ratio=4),
    ),
    *(
        dict(type='mmdia.ResNet', depth=18, interaction=dict(type=name, **SLIM.get(name, {})))
        for name in INTERACTIONS
    ),
)


class Tiny(nn.Module):
    """Two operators, and memory that is of no use."""

    def __init__(self, wasted=0):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1, bias=False)
        self.wasted = wasted

    def forward(self, x):
        torch.empty(self.wasted, dtype=torch.uint8)
        return (-self.conv(x),)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run the tool in this process: what it prints, line by line."""
    monkeypatch.chdir(tmp_path)

    def main(*args):
        monkeypatch.setattr(sys, 'argv', ['benchmark.py', *map(str, args)])
        benchmark.main()
        return capsys.readouterr().out.splitlines()

    return main


@pytest.fixture
def refused(run, capsys):
    """Run the tool to see it refuse: its message."""

    def main(*args):
        with pytest.raises(SystemExit) as error:
            run(*args)
        assert not Path('work_dirs').exists()
        if error.value.code == 2:  # of the parser, after the usage
            return capsys.readouterr().err.splitlines()[-1].partition('error: ')[2]
        assert '\n' not in error.value.code
        return error.value.code

    return main


def read_results(folder='work_dirs/benchmark'):
    with open(Path(folder, 'benchmark.csv'), newline='') as file:
        rows = list(csv.DictReader(file))
    return {(row['network'], row['measure']): row for row in rows}


def shapes(network):
    """Shapes of parameters and buffers, less those of interactions."""
    tensors = network.state_dict()
    return {key: t.shape for key, t in tensors.items() if 'interaction' not in key.split('.')}


def test_operators_are_counted():
    runner = measurement.Runner(Tiny(), SETTING)
    # empty, convolution, neg
    assert measurement.count_operators(runner.select('forward')) == 3
    # The same, mean, add to the sum; ones_like, expand and div of the mean, neg,
    # convolution_backward, detach of the gradient.
    assert measurement.count_operators(runner.select('forward_backward')) == 5 + 6


def test_modes_of_the_passes():
    network = Tiny()
    runner = measurement.Runner(network, SETTING)
    runner.select('forward')()
    assert not network.training and network.conv.weight.grad is None
    step = runner.select('forward_backward')
    step()
    before = network.conv.weight.grad.clone()
    step()
    assert network.training and torch.equal(network.conv.weight.grad, before)


def test_peak_of_known_allocations():
    def step():
        first = torch.empty(3000, dtype=torch.uint8)
        second = torch.empty(500, dtype=torch.uint8)
        del first
        third = torch.empty(1200, dtype=torch.float16)
        return second, third

    kept = torch.empty(10_000)
    assert measurement.cpu_peak(step) == 3500
    del kept


def test_peak_memory_of_a_network():
    small, large = (
        measurement.peak_memory(measurement.Runner(Tiny(wasted), SETTING))
        for wasted in (100_000, 300_000)
    )
    assert large - small == 200_000
    weights = 4 * 3 * 4
    assert 0 <= small - weights - 100_000 < 10_000


def test_turns():
    steps = (lambda: 'A', lambda: 'B')
    said = []

    def measure(step):
        said.append(step())
        return len(said)

    values = measurement.interleave(steps, measure, rounds=3)
    assert ''.join(said) == 'ABBAABBA'
    assert values == ([1, 4, 5, 8], [2, 3, 6, 7])


@pytest.mark.parametrize(('rounds', 'seconds', 'expected'), ((2, 0, 2), (2, 10, 6), (7, 10, 8)))
def test_rounds(rounds, seconds, expected):
    times = count()  # a measurement takes one second

    def now():
        return now.time

    def measure(step):
        now.time += 1
        return next(times)

    now.time = 100
    values = measurement.interleave((None, None), measure, rounds, seconds, now)
    assert [len(entries) for entries in values] == [expected] * 2


def test_summary_of_measurements():
    # ratios 2, 2, 3
    assert measurement.summarize((2, 4, 9), (1, 2, 3)) == (4, 2, 2, 2, 2.5, 3)
    assert measurement.summarize((3,), (2,)) == (3, 2, 1.5, 1.5, 1.5, 1)


def test_clock_of_the_process(monkeypatch):
    clock = count(5, 3)
    monkeypatch.setattr(measurement.time, 'process_time', lambda: next(clock))
    monkeypatch.setattr(measurement.time, 'perf_counter', lambda: 0)
    for threads, expected in ((1, 3), (2, 0)):
        timer = measurement.choose_timer(SETTING._replace(threads=threads))
        assert timer(lambda: None) == expected


@pytest.mark.parametrize('backbone', BACKBONES, ids=lambda cfg: cfg.get('interaction', cfg)['type'])
def test_plain_partner(backbone):
    with torch.device('meta'):
        network, plain = benchmark.build_pair(benchmark.Case('it', backbone))
    assert isinstance(network, MODELS.get(backbone['type']))
    assert list(plain.state_dict()) == list(shapes(plain))
    assert shapes(plain) == shapes(network)
    assert {type(i).__name__ for i in plain.interactions()} == {'LayerInteraction'}


def test_plain_partner_is_the_plain_resnet():
    case = benchmark.Case('it', dict(type='mmdia.DIAResNet', depth=18, base_channels=32))
    _, plain = benchmark.build_pair(case)
    expected = ResNet(18, base_channels=32)
    expected.load_state_dict(plain.state_dict())
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(plain.eval()(x)[0], expected.eval()(x)[0])


@pytest.mark.parametrize('name', CASES)
def test_case(name):
    case = benchmark.find_case(name)
    with torch.device('meta'):
        network, _ = benchmark.build_pair(case)
    assert network.stride <= case.image_size and 'init_cfg' not in case.backbone
    assert not case.goals or set(case.goals) == set(benchmark_report.TITLES) >= set(case.authors)
    assert name.endswith(f'-r{network.depth}')


def test_every_method_of_the_page_on_choosing_has_a_case():
    page = (ROOT / 'docs' / 'choosing.md').read_text(encoding='utf-8')
    methods = re.findall(r'^\| ([^|]+) \| \[`mmdia\.(\w+)`\]', page, re.MULTILINE)
    found = set()
    for name in CASES:
        with torch.device('meta'):
            network = MODELS.build(dict(benchmark.find_case(name).backbone))
        interaction = next(iter(network.interactions()))
        attentions = [type(m).__name__ for m in interaction.modules() if isinstance(m, Attention)]
        found.add((type(interaction).__name__, *attentions[:1]))
    for name, interaction in methods:
        attention = (name.removeprefix('DIA-'),) if interaction.endswith('Attention') else ()
        assert (interaction, *attention) in found, name


def test_backbone_of_a_detector():
    case = benchmark.find_case(str(ROOT / 'configs' / 'dia' / 'faster-rcnn_dia-r50_fpn_1x_coco.py'))
    assert case.name == 'faster-rcnn_dia-r50_fpn_1x_coco'
    assert case.backbone['interaction']['type'] == 'mmdia.DIALSTM'
    assert case.backbone['frozen_stages'] == 1
    assert 'init_cfg' not in case.backbone and not case.goals


def test_plain_beside_plain(run):
    lines = run('--backbone', *TINY, *QUICK)
    rows = read_results()
    for name in ('operators_forward', 'operators_forward_backward', 'memory'):
        assert float(rows['--backbone', name]['ratio']) == 1
        assert rows['--backbone', name]['rounds'] == '1'
    forward = rows['--backbone', 'forward']
    assert len(rows) == 5 and forward['rounds'] == '2'
    assert float(forward['low']) <= float(forward['ratio']) <= float(forward['high'])
    assert (
        forward
        | dict(
            batch_size='4',
            image_size='8',
            dtype='float32',
            channels_last='False',
            compile='False',
            device='cpu',
            threads='1',
            goal='',
            torch=torch.__version__,
        )
        == forward
    )
    assert forward['device_name'] and forward['date']
    assert '1 thread, float32, PyTorch' in lines[0]
    assert lines[2].startswith('--backbone ') and lines[2].endswith(' 1.00 / 1.00')
    assert lines[3:] == ['work_dirs/benchmark/benchmark.csv', 'work_dirs/benchmark/benchmark.png']
    assert Path(lines[-1]).read_bytes().startswith(b'\x89PNG')


def test_config_and_options(run):
    cfg = dict(type='mmdia.DIAResNet', depth=18, base_channels=4, ratio=4, small_stem=True)
    init_cfg = dict(type='Pretrained', checkpoint='nowhere.pth')
    Config(dict(model=dict(backbone=dict(cfg, init_cfg=init_cfg)))).dump('small.py')
    options = ('--dtype', 'bfloat16', '--channels-last', '--batch-size', 2)
    lines = run('small.py', '--backbone', *TINY, *QUICK, *options, '--out', 'results')
    assert '1 thread, bfloat16, channels last, PyTorch' in lines[0]
    rows = read_results('results')
    assert len(rows) == 10
    assert float(rows['small', 'operators_forward']['ratio']) > 1
    assert rows['small', 'memory']['dtype'] == 'bfloat16'
    assert not Path('work_dirs').exists()


def test_precision_and_layout():
    network = Tiny()
    runner = measurement.Runner(network, SETTING._replace(dtype='float64', channels_last=True))
    assert network.conv.weight.dtype == runner.images.dtype == torch.float64
    assert runner.images.is_contiguous(memory_format=torch.channels_last)
    runner = measurement.Runner(network, SETTING._replace(dtype='bfloat16'))
    assert network.conv.weight.dtype == torch.float32
    with runner.precision():
        assert network(runner.images)[0].dtype == torch.bfloat16


def test_compiled_networks(run, monkeypatch):
    compiled, torch_compile = [], torch.compile

    def compile_quickly(network):
        compiled.append(network)
        return torch_compile(network, backend='eager')

    run('--backbone', *TINY, *QUICK)
    eager = read_results()['--backbone', 'operators_forward']
    monkeypatch.setattr(torch, 'compile', compile_quickly)
    run('--backbone', *TINY, *QUICK, '--compile')
    row = read_results()['--backbone', 'operators_forward']
    assert len(compiled) == 2 and row['compile'] == 'True'
    assert row['value'] == eager['value']


def test_goals(run, monkeypatch):
    backbone = dict(type='mmdia.CIFARResNet', depth=11, base_channels=4)
    goals = dict(forward=1e9, forward_backward=0.0, memory=1.0)
    case = benchmark.Case('tiny', backbone, 2, 8, goals, dict(forward=2.0))
    monkeypatch.setattr(benchmark, 'find_case', lambda name: case)
    lines = run('tiny', '--rounds', 1)
    assert lines[2].count(' met') == 2 and lines[2].count('goal 0.00 missed') == 1
    assert lines[3] == '2 of 3 goals met'
    rows = read_results()
    assert rows['tiny', 'memory']['goal'] == '1.0' and rows['tiny', 'forward']['authors'] == '2.0'
    # They are for the case as it stands.
    for other in (('--batch-size', 3), ('--dtype', 'float64')):
        assert 'goal' not in '\n'.join(run('tiny', '--rounds', 1, *other))


def test_cases_with_goals_by_default(monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['benchmark.py'])
    args = benchmark.parse_args()
    cases = benchmark.find_cases(args)
    assert len(cases) == 8 and all(case.goals for case in cases)
    assert (args.rounds, args.seconds) == (6, 60)


def test_table_of_differences():
    spent = operator_times.Spent
    network = dict(conv=spent(0.110, 2), mul=spent(0.030, 5), relu=spent(0.010, 1))
    plain = dict(conv=spent(0.090, 2), relu=spent(0.010, 1), add=spent(0.100, 3))
    lines = list(operator_times.difference_table(network, plain, rows=3))
    assert [line.split() for line in lines[1:]] == [
        ['-25.00%', '150.00', '200.00', '8', '6', 'all'],
        ['-50.00%', '0.00', '100.00', '0', '3', 'add'],
        ['+15.00%', '30.00', '0.00', '5', '0', 'mul'],
        ['+10.00%', '110.00', '90.00', '2', '2', 'conv'],
    ]


def test_medians_of_operators():
    spent = operator_times.Spent
    rounds = [dict(conv=spent(t, 2)) for t in (1.0, 5.0, 2.0)]
    rounds[0]['late'] = spent(9.0, 3)
    assert operator_times.medians(rounds) == dict(conv=spent(2.0, 2.0), late=spent(0.0, 0.0))


def test_profile(run):
    interaction = ('interaction.type=mmdia.DIALSTM', 'interaction.ratio=4')
    lines = run('--backbone', *TINY, *interaction, *QUICK, '--profile')
    assert lines[2] == '--backbone'
    assert [line for line in lines if line.endswith(':')] == ['forward:', 'forward_backward:']
    forward, both = (line.split() for line in lines if line.endswith(' all'))
    assert int(forward[3]) > int(forward[4]) and int(both[3]) > int(both[4])  # calls
    assert len(lines) == 3 + 2 * (3 + 12)
    assert not Path('work_dirs').exists()


def test_unknown_networks(refused):
    assert refused('dia-r51') == (
        f'dia-r51 is neither the file of a config nor one of {", ".join(CASES)}'
    )
    Path('bare.py').write_text("default_scope = 'mmdet'")
    assert refused('bare.py') == 'bare.py has no model.backbone with a type'
    Path('other.py').write_text(
        "model = dict(backbone=dict(type='ResNet', depth=50))\ndefault_scope = 'mmpretrain'"
    )
    assert refused('other.py') == 'other: mmpretrain.ResNet is not a backbone of mmdia'
    assert refused('--backbone', 'depth=50') == '--backbone has no model.backbone with a type'
    assert refused('--backbone', 'type=No') == '--backbone: mmdia.No is not a backbone of mmdia'


def test_bad_arguments_of_backbones(refused):
    message = '--backbone: depth must be one of (18, 34, 50, 101, 152), got 51'
    assert refused('--backbone', 'type=mmdia.ResNet', 'depth=51') == message
    assert "no argument 'deep'" in refused('--backbone', 'type=mmdia.ResNet', 'depth=18', 'deep=1')


def test_bad_options(refused, monkeypatch):
    for name in ('batch-size', 'image-size', 'threads', 'rounds'):
        assert refused(f'--{name}', 0) == f'--{name} must be at least 1, got 0'
    message = '--image-size must be at least 4, the stride of --backbone, got 3'
    assert refused('--backbone', *TINY, '--image-size', 3) == message
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    message = '--device must be cpu where PyTorch finds no GPU, got cuda'
    assert refused('--device', 'cuda') == message
