"""The documentation says what the code does: names, numbers, links and the example."""

import importlib
import inspect
import os
import pkgutil
import re
import runpy
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

import mmdia
from mmdia.apis import list_attentions, list_interactions
from mmdia.models import (
    PooledGate,
    RecurrentCell,
    ResidualBackbone,
    ResidualNetwork,
    ResNet,
    WideResNet,
)
from mmdia.models.utils import registered_names
from mmdia.registry import DATASETS, HOOKS, MODELS, OPTIM_WRAPPERS
from mmdia.results.complexity import count_flops

from .helpers import randomize

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / 'docs').glob('*.md'))
PAGES = [*sorted(ROOT.glob('*.md')), *DOCS, *sorted((ROOT / 'configs').glob('*/README.md'))]
CODE = re.compile(r'^```python\n(.*?)^```$', re.MULTILINE | re.DOTALL)
FENCED = re.compile(r'^```.*?^```$', re.MULTILINE | re.DOTALL)
CLASSIFIER = dict(params=2_049_000, flops=2_048_000)

by_path = pytest.mark.parametrize('path', PAGES, ids=lambda path: str(path.relative_to(ROOT)))

# Runs in a folder with the files of docs/new_method.md.
EXAMPLE = """
from pathlib import Path

import torch
from mmengine.config import Config

from mmdia.registry import MODELS
from tests import restatements
from tests.helpers import randomize, slim_resnet
from tests.test_models.test_restatements import assert_equals_restatement

torch.manual_seed(0)
torch.set_num_threads(1)
backbone = Config.fromfile('config.py').model.backbone
name = backbone.interaction.type
x = torch.randn(2, 3, 64, 64)

plain = randomize(slim_resnet('mmdia.LayerInteraction')).eval()
backbone.interaction.identity_init = True
model = MODELS.build(dict(backbone, depth=18, base_channels=8)).eval()
model.init_weights()
missing, unexpected = model.load_state_dict(plain.state_dict(), strict=False)
assert missing == [f'layer{i}.interaction.scale' for i in (1, 2, 3, 4)] and not unexpected
assert torch.equal(model(x)[0], plain(x)[0])

fresh = slim_resnet(name, zero_init_residual=False).train()
fresh(x)[0].square().mean().backward()
assert all(p.grad.abs().max() > 0 for p in fresh.parameters())

exec(Path('restatement.py').read_text(), vars(restatements))
restatements.RESTATEMENTS[name] = restatements.block_scale
assert_equals_restatement(dict(type=name))
"""


def read(path):
    return path.read_text(encoding='utf-8')


def test_example_of_a_new_method(tmp_path):
    text = read(ROOT / 'docs' / 'new_method.md')
    blocks = CODE.findall(text)
    assert sum(block.count('\n') for block in blocks) <= 40
    (module,) = re.findall(r'^`(\w+\.py)`:$', text, re.MULTILINE)
    for name, block in zip((module, 'config.py', 'restatement.py'), blocks, strict=True):
        (tmp_path / name).write_text(block)
    env = dict(os.environ, PYTHONPATH=os.pathsep.join((str(tmp_path), str(ROOT))))
    command = [sys.executable, '-c', EXAMPLE]
    result = subprocess.run(
        command, cwd=tmp_path, env=env, timeout=120, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


def test_example_of_a_model_that_exists(tmp_path, monkeypatch):
    """The blocks one after the other, with narrow networks."""
    monkeypatch.chdir(tmp_path)
    narrow = {
        "'resnet18',": "'resnet18', channels=(8, 16, 32, 64),",
        'in_channels=1': 'in_channels=1, base_channels=8, stem_channels=64',
        'ratio=16': 'ratio=4',
        'range(4)': 'range(3)',
    }
    scope = {}
    for block in CODE.findall(read(ROOT / 'docs' / 'attach.md')):
        for wide, slim in narrow.items():
            block = block.replace(wide, slim)
        exec(block, scope)
    assert scope['accuracy'] > 0.5


PARTS = dict(
    re.findall(
        r'`(\w+)\.py`:\n\n```python\n(.*?)^```$',
        read(ROOT / 'docs' / 'new_parts.md'),
        re.MULTILINE | re.DOTALL,
    )
)


@pytest.mark.parametrize(
    ('file', 'interaction'),
    (
        ('running_gate', "dict(type='mmdia.RunningGate')"),
        (
            'mean_gate',
            "dict(type='mmdia.SharedAttention', attention=dict(type='mmdia.MeanGate'))",
        ),
        ('minimal_cell', "dict(type='mmdia.LII', cell=dict(type='mmdia.MinimalCell'))"),
    ),
)
def test_examples_of_new_parts(file, interaction, monkeypatch):
    assert f'Config: `interaction={interaction}`.' in read(ROOT / 'docs' / 'new_parts.md')
    monkeypatch.setattr(MODELS, '_module_dict', dict(MODELS._module_dict))
    exec(PARTS[file], dict(__name__=file))
    cfg, images = eval(interaction), torch.randn(2, 3, 64, 64)
    model = ResNet(18, cfg, base_channels=8)
    model.init_weights()
    for norm in (m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        torch.nn.init.ones_(norm.weight)
    model.train()(images)[0].square().mean().backward()
    learned = {name: p.grad for name, p in model.named_parameters() if 'interaction' in name}
    assert learned and all(grad is not None and grad.any() for grad in learned.values())
    part = model.layer1.interaction
    if isinstance(part, PooledGate):
        with torch.autocast('cpu', torch.bfloat16):
            gate, state = part.gate(torch.randn(2, 8), None, 0)
            gate, _ = part.gate(torch.randn(2, 8), state, 1)
        assert gate.shape == (2, 8) and gate.dtype == torch.float32
    plain = randomize(ResNet(18, base_channels=8)).eval()
    model = ResNet(18, dict(cfg, identity_init=True), base_channels=8).eval()
    model.load_state_dict(plain.state_dict(), strict=False)
    assert model.layer1.interaction.gate_scale == 2
    with torch.no_grad():
        assert torch.equal(model(images)[0], plain(images)[0])


def test_every_new_part_is_an_example():
    assert list(PARTS) == ['running_gate', 'mean_gate', 'minimal_cell']


# The trunks of the examples, by page.
CONFIG_EXAMPLES = {
    'attentions': [ResNet],
    'layer_attention': [ResNet],
    'recurrent': [ResNet],
    'rla': [ResNet, ResNet],
    'trunks': [WideResNet],
}


def test_config_examples_build():
    built = {}
    for path in DOCS:
        for block in CODE.findall(read(path)):
            if block.startswith('model = '):
                scope = {}
                exec(block, scope)
                with torch.device('meta'):
                    backbone = MODELS.build(scope['model']['backbone'])
                built.setdefault(path.stem, []).append(type(backbone))
    assert built == CONFIG_EXAMPLES


def named_types(path):
    return set(re.findall(r'\bmmdia\.([A-Z]\w*)', read(path)))


@by_path
def test_types_are_registered(path):
    registries = (MODELS, DATASETS, HOOKS, OPTIM_WRAPPERS)
    for registry in registries:
        registry.import_from_location()
    # The example registers its own.
    own = set(re.findall(r'^class (\w+)', read(path), re.MULTILINE))
    assert named_types(path) - own <= {name for r in registries for name in r.module_dict}


def test_all_methods_are_documented():
    named = {f'mmdia.{name}' for path in DOCS for name in named_types(path)}
    methods = {*list_interactions(), *list_attentions(), *registered_names(RecurrentCell)}
    assert methods | set(registered_names(ResidualBackbone)) <= named


def tables(text):
    """The tables of a page: the cells of the header, and those of each row."""
    for table in re.findall(r'(?:^\|.*\n)+', text, re.MULTILINE):
        head, _, *rows = (
            [cell.strip() for cell in line.strip('|\n').split('|')] for line in table.splitlines()
        )
        yield head, rows


def costs():
    """Page, interaction, and its parameters and FLOPs as printed, of all tables of costs."""
    for path in DOCS:
        for head, rows in tables(read(path)):
            if head[0] not in ('`interaction`', '`attention`'):
                continue
            for cfg, *numbers in rows:
                cfg = eval(cfg.strip('`'))
                for title, params in zip(head[1:-1], numbers[:-1]):
                    interaction = cfg
                    if head[0] == '`attention`':
                        interaction = dict(type=title.split('`')[1], attention=cfg)
                    yield path.stem, interaction, params, numbers[-1]


COSTS = list(costs())


def test_every_method_is_in_a_table_of_costs():
    types = {interaction['type'] for _, interaction, *_ in COSTS}
    assert types == set(list_interactions()) - {'mmdia.LayerInteraction'}
    attentions = {i['attention']['type'] for page, i, *_ in COSTS if page == 'attentions'}
    assert attentions == set(list_attentions())


@pytest.mark.parametrize(('page', 'interaction', 'params', 'flops'), COSTS)
def test_parameters(page, interaction, params, flops):
    with torch.device('meta'):
        model = ResNet(50, interaction)
    count = sum(p.numel() for p in model.parameters()) + CLASSIFIER['params']
    assert params == f'{count / 1e6:.2f} M'


# The default of each interaction: tracing takes a second.
@torch.no_grad()
@pytest.mark.parametrize(
    ('page', 'interaction', 'params', 'flops'),
    {row[1]['type']: row for row in reversed(COSTS)}.values(),
)
def test_flops(page, interaction, params, flops):
    with torch.device('meta'):
        model = ResNet(50, interaction).eval()
    model.to_empty(device='cpu')
    assert flops == f'{(count_flops(model, 224) + CLASSIFIER["flops"]) / 1e9:.2f} G'


@torch.no_grad()
def test_cost_of_the_plain_network():
    with torch.device('meta'):
        model = ResNet(50).eval()
    params = sum(p.numel() for p in model.parameters()) + CLASSIFIER['params']
    flops = count_flops(model.to_empty(device='cpu'), 224) + CLASSIFIER['flops']
    params, flops = f'{params / 1e6:.2f} M', f'{flops / 1e9:.2f} G'
    page = read(ROOT / 'docs' / 'interactions.md')
    assert f'The plain network has {params} parameters and {flops} FLOPs.' in page
    assert f'network has {params} and {flops}.' in read(ROOT / 'docs' / 'choosing.md')


def test_table_of_methods_is_up_to_date():
    tool = runpy.run_path(str(ROOT / 'tools' / 'analysis_tools' / 'list_methods.py'))
    assert read(ROOT / 'docs' / 'choosing.md') == tool['page']()


def test_every_page_is_in_the_index():
    index = ROOT / 'docs' / 'README.md'
    linked = re.findall(r'^\| \[[^]]+\]\(([^)]+)\)', read(index), re.MULTILINE)
    assert {(index.parent / link).resolve() for link in linked} == {
        *PAGES,
        ROOT / 'docs' / 'api' / 'index.rst',
    } - {index}


TRUNKS = [
    row[:4]
    for head, rows in tables(read(ROOT / 'docs' / 'trunks.md'))
    if head[0] == '`backbone`'
    for row in rows
]


def test_every_trunk_has_parameters():
    types = {eval(cfg.strip('`'))['type'] for cfg, *_ in TRUNKS}
    named = ('DIAResNet', 'DLAResNet', 'RLAResNet')
    theirs = ('ResNetV1c', 'ResNetV1d', 'ResNeXt', 'ResNet_CIFAR', 'SEResNet', 'SEResNeXt')
    shorthands = {f'mmdia.{name}' for name in (*named, *theirs)}
    assert types == set(registered_names(ResidualBackbone)) - shorthands


@pytest.mark.parametrize(('cfg', 'classes', 'channels', 'params'), TRUNKS)
def test_parameters_of_trunks(cfg, classes, channels, params):
    with torch.device('meta'):
        backbone = MODELS.build(eval(cfg.strip('`')))
        head = torch.nn.Linear(int(channels), int(classes))
    assert backbone.stage_channels[-1] == int(channels)
    count = sum(p.numel() for part in (backbone, head) for p in part.parameters())
    assert params == f'{count / 1e6:.2f} M'


def test_arguments_of_trunks():
    documented = [
        (name.strip('`'), eval(default.strip('`')))
        for head, rows in tables(read(ROOT / 'docs' / 'trunks.md'))
        if head[:2] == ['Argument', 'Default']
        for name, default, _ in rows
    ]
    signature = inspect.signature(ResidualNetwork).parameters.values()
    others = ('block', 'stage_blocks', 'unknown')
    own = [(p.name, p.default) for p in signature if p.name not in others]
    assert documented == own


def test_public_methods_are_documented():
    """By themselves, or by the method that they override."""
    names = [m.name for m in pkgutil.walk_packages(mmdia.__path__, 'mmdia.')]
    missing = [
        f'{cls.__module__}.{cls.__qualname__}.{name}'
        for module in map(importlib.import_module, names)
        for cls in vars(module).values()
        if isinstance(cls, type) and cls.__module__ == module.__name__
        for name, member in vars(cls).items()
        if not name.startswith('_') and inspect.isfunction(member)
        if not inspect.getdoc(getattr(cls, name))
    ]
    assert names and not missing


def anchors(path):
    """What links to the headings of a page look like."""
    headings = re.findall(r'^#+ (.*)$', FENCED.sub('', read(path)), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', heading).lower().replace(' ', '-') for heading in headings}


@by_path
def test_links(path):
    for link in re.findall(r'\]\(([^)\s]+)\)', FENCED.sub('', read(path))):
        if '://' in link:
            continue
        name, _, anchor = link.partition('#')
        target = path.parent / name if name else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize('path', sorted((ROOT / 'docs').glob('*.svg')), ids=lambda path: path.name)
def test_pictures_are_valid_xml(path):
    root = ElementTree.parse(path).getroot()
    assert root.tag == '{http://www.w3.org/2000/svg}svg'
    assert root.find('{http://www.w3.org/2000/svg}title').text
