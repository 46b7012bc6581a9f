"""The converters of models: converted weights compute what they did in the authors' networks."""

import hashlib
import importlib.machinery
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torchvision
import yaml
from mmengine.config import Config
from mmengine.hooks import EMAHook
from mmengine.logging import HistoryBuffer
from mmengine.model import ExponentialMovingAverage
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import load_checkpoint
from torch import nn

import mmdia
from mmdia.results.rows import read_rows, row_config

from . import authors_networks as authors
from .authors_networks import CLASSES
from .test_checkpoints.test_reader import Call

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / 'tools' / 'model_converters'


# Script, network, our config or run, what is changed in its backbone


RUNS = {row.run: row for row in read_rows()}
IN1K = 'dla/dla-l-resnet50_8xb32_in1k'
SE = dict(type='mmdia.BlockAttention', attention=dict(type='mmdia.SE', ratio=16, bias=False))
CASES = (
    ('dianet', 'dia_resnet', 'dia/dia-resnet164_b128-180e_cifar10', dict(depth=29)),
    ('dianet', 'dia_preresnet', 'dia/dia-preresnet164_b128-164e_cifar10', dict(depth=29)),
    ('dianet', 'dia_wrn', 'dia/dia-wrn52-4_b128-200e_cifar10', dict(depth=22)),
    ('dianet', 'dia_resnext', 'dia/dia-resnext101-8x32_b128-300e_cifar10', dict(depth=29)),
    ('dla', 'dia_resnet', 'dla/dia-resnet20_b128-180e_cifar10', dict(depth=29)),
    ('dla', 'dla_l', 'dla/dla-l-resnet20_b128-180e_cifar10', dict(depth=29)),
    ('dla', 'dla_b', 'dla/dla-b-resnet20_b128-180e_cifar10', dict(depth=29)),
    ('dla', 'mrla_light', 'dla/mrla-l-resnet20_b128-180e_cifar10', dict(depth=29)),
    ('dla', 'mrla_base', 'dla/mrla-b-resnet20_b128-180e_cifar10', dict(depth=29)),
    ('dla', 'senet', 'dla/se-resnet20_b128-180e_cifar10', dict(depth=29)),
    ('dla', 'ecanet', 'dla/eca-resnet20_b128-180e_cifar10', dict(depth=29)),
    ('dla', 'resnet', 'dla/resnet20_b128-180e_cifar10', dict(depth=29)),
    (
        'dla',
        'resnet_basic',
        'rla/resnet20-basic_b128-160e_cifar10',
        dict(project_first=False),
    ),
    (
        'dla',
        'senet_basic',
        'rla/se-resnet20-basic_b128-160e_cifar10',
        dict(project_first=False, interaction=dict(attention=dict(bias=False))),
    ),
    (
        'dla',
        'senet_imagenet',
        IN1K,
        dict(base_width=8, interaction=dict(_delete_=True, **SE)),
    ),
    (
        'dla',
        'ecanet_imagenet',
        IN1K,
        dict(
            base_width=8,
            interaction=dict(
                _delete_=True, type='mmdia.BlockAttention', attention=dict(type='mmdia.ECA')
            ),
        ),
    ),
    ('dla', 'resnet_dla_l', IN1K, dict(base_width=8, interaction=dict(ratio=16))),
    (
        'mrla',
        'resnet_mrla_light',
        IN1K,
        dict(base_width=8, interaction=dict(_delete_=True, type='mmdia.MRLALight')),
    ),
    (
        'mrla',
        'resnet_mrla_base',
        IN1K,
        dict(
            base_width=8,
            deep_stem=True,
            interaction=dict(_delete_=True, type='mmdia.MRLABase', head_channels=16),
        ),
    ),
    ('dla', 'resnet_dlal', 'dla/faster-rcnn_dla-l-r50_fpn_1x_coco', {}),
    ('mrla', 'resnet_mrlal', 'dla/retinanet_mrla-l-r50_fpn_1x_coco', {}),
)


def our_model(config, changes=()):
    """Our model without weights."""
    if config in RUNS:
        cfg = row_config(RUNS[config])
    else:
        cfg = Config.fromfile(ROOT / 'configs' / f'{config}.py')
    if cfg.default_scope != 'mmdet':
        changes = dict(backbone=dict(changes), head=dict(in_channels=None, num_classes=CLASSES))
        changes['head']['in_channels'] = cfg.model.head.in_channels
        cfg.merge_from_dict(dict(model=changes))
    init_default_scope(cfg.default_scope)
    with torch.device('meta'):
        return MODELS.build(cfg.model).eval()


@pytest.fixture
def call(monkeypatch):
    """Run a script in this process, as from a command line."""
    monkeypatch.syspath_prepend(str(FOLDER))
    # What --trust sets is forgotten afterwards.
    monkeypatch.setenv('MMDIA_TRUST', '')

    def run(script, *args):
        monkeypatch.setattr(sys, 'argv', [script, *map(str, args)])
        runpy.run_path(str(FOLDER / f'{script}.py'), run_name='__main__')

    return run


@pytest.fixture
def fail(call, capsys):
    """Run a script that has to refuse, and return its message."""

    def run(script, *args):
        with pytest.raises(SystemExit) as error:
            call(script, *args)
        assert error.value.code == 2
        message = capsys.readouterr().err.splitlines()[-1]
        assert message.startswith(f'{script}.py: error: ')
        return message

    return run


def save(state, path, prefix='module.'):
    """Save weights as the authors' training scripts do."""
    state = {f'{prefix}{key}': value for key, value in state.items()}
    content = dict(epoch=3, state_dict=state, best_acc=0.5, optimizer=dict(state={}))
    torch.save(content, path)
    return path


@torch.no_grad()
@pytest.mark.parametrize(('script', 'name', 'config', 'changes'), CASES)
def test_converted_network_computes_the_same(call, capsys, tmp_path, script, name, config, changes):
    net, forward = getattr(authors, name)()
    state = authors.randomize(net).state_dict()
    ours = our_model(config, changes)
    is_detector = not hasattr(net, 'fc') and not hasattr(net, 'classifier')
    if is_detector:
        heads = {k: v for k, v in ours.state_dict().items() if not k.startswith('backbone.')}
        state = {f'backbone.{key}': value for key, value in state.items()}
        state.update((key, torch.zeros_like(value, device='cpu')) for key, value in heads.items())

    source, target = save(state, tmp_path / 'model_best.pth.tar'), tmp_path / 'converted.pth'
    call(script, source, target)
    content = torch.load(target, weights_only=True)
    ours.load_state_dict(content['state_dict'], strict=True, assign=True)

    # Odd sizes, too, and large enough for the stride
    x = torch.randn(1, 3, *(16, 17) if 'cifar' in config else (64, 67)).double()
    expected = forward(x)
    found = ours.backbone(x) if is_detector else ours(x)
    torch.testing.assert_close(found, type(found)(expected), rtol=1e-10, atol=1e-10)

    assert content['meta']['epoch'] == 3
    assert content['meta']['converted_from'] == name.removesuffix('_basic').removesuffix(
        '_imagenet'
    )
    backbone = MODELS.build(content['meta']['backbone']).eval()
    backbone.load_state_dict(
        {
            key.removeprefix('backbone.'): value
            for key, value in content['state_dict'].items()
            if key.startswith('backbone.')
        },
        assign=True,
    )
    for ours_again, level in zip(backbone(x), ours.backbone(x), strict=True):
        assert torch.equal(ours_again, level)
    printed = capsys.readouterr().out.splitlines()[0]
    backbone = eval(printed.partition('backbone=')[2])
    assert printed.startswith(content['meta']['converted_from'])
    assert backbone == content['meta']['backbone']


# What converters refuse


@pytest.fixture
def dia_state():
    """Weights of a network that is small, as DIANet's code names them."""
    return authors.dia_resnet()[0].state_dict()


def test_names_without_prefix_and_without_counts(call, tmp_path, dia_state):
    old = {key: value for key, value in dia_state.items() if 'num_batches' not in key}
    torch.save(old, tmp_path / 'old.pth')
    call('dianet', tmp_path / 'old.pth', tmp_path / 'new.pth')
    state = torch.load(tmp_path / 'new.pth')['state_dict']
    assert state['backbone.bn1.num_batches_tracked'] == 0
    assert state['backbone.layer2.interaction.gate_scale'] == 1


def change(state, changes):
    """Change weights; None removes one."""
    changed = {**state, **changes}
    return {key: value for key, value in changed.items() if value is not None}


@pytest.mark.parametrize(
    ('network', 'changes', 'message'),
    (
        (None, {'layer1.lstm.w_ih.1.weight': torch.zeros(256, 64)}, 'those of none of dia_resnet'),
        (
            'dia_resnet',
            {'layer1.lstm.w_ih.1.weight': torch.zeros(256, 64)},
            'the network has no layer1.lstm.w_ih.1.weight',
        ),
        (None, {'fc.weight': None, 'fc.bias': None}, 'those of none of dia_resnet'),
        ('dia_resnet', {'fc.weight': None, 'fc.bias': None}, 'nothing in it becomes head.fc.bias'),
        (None, {'fc.bias': None}, 'nothing in it becomes head.fc.bias'),
        (None, {'fc.weight': None}, 'head.fc.weight is missing'),
        (
            None,
            {'layer3.lstm.w_hh.0.seq.2.bias': None},
            'backbone.layer3.interaction.cell.hidden_gates.2.bias is missing',
        ),
        (
            None,
            {'layer2.ModuleList.3.conv2.weight': torch.zeros(32, 32, 3, 3)},
            'backbone.layer2.3.conv2.weight is not in the model',
        ),
        (
            None,
            {'layer2.lstm.w_ih.0.seq.0.weight': torch.zeros(31, 128)},
            'cell.input_gates.0.weight has shape (31, 128) instead of (32, 128)',
        ),
        (None, {'fc.weight': torch.zeros(10, 64)}, '(10, 64) instead of (10, 256)'),
        ('dia_resnet', {'layer1.ModuleList.0.conv2.weight': torch.zeros(9)}, 'wrong shapes'),
        ('dia_wrn', {}, 'the network has no layer1.ModuleList.0.'),
        ('dia_resnext', {}, 'the network has no layer1.ModuleList.0.'),
    ),
)
def test_unfit_weights(fail, tmp_path, dia_state, network, changes, message):
    source = save(change(dia_state, changes), tmp_path / 'source.pth')
    options = () if network is None else ('--network', network)
    error = fail('dianet', source, tmp_path / 'target.pth', *options)
    assert error.startswith(f'dianet.py: error: {source}') and message in error
    assert os.listdir(tmp_path) == ['source.pth']


@pytest.mark.parametrize(
    ('script', 'name', 'network', 'message'),
    (
        ('dianet', 'dla_l', 'dia_resnet', 'the network has no stages.0.layers.0.conv1.weight'),
        ('dla', 'dla_l', 'dla_b', 'the network has no stages.0.attention.0.layer_attention.lambda'),
        ('dla', 'dla_b', 'dla_l', 'attentions.0.previous_weight is missing'),
        ('dla', 'mrla_light', 'mrla_base', 'the network has no layer1.0.'),
        ('dla', 'senet', 'resnet', 'the network has no layer1.0.se.fc.0.weight'),
        ('dla', 'dla_l', 'resnet_dla_l', 'the network has no stages.0.'),
        ('mrla', 'mrla_light', 'resnet_mrla_light', 'stages of (3, 3, 3) blocks are those of no'),
    ),
)
def test_other_network(fail, tmp_path, script, name, network, message):
    net, _ = getattr(authors, name)()
    source = save(net.state_dict(), tmp_path / 'source.pth')
    error = fail(script, source, tmp_path / 'target.pth', '--network', network)
    assert message in error
    assert os.listdir(tmp_path) == ['source.pth']


# One of the converters reads for all. None stands for no file.
READERS = ('dianet', 'torchvision_names', 'publish_model')
NO_WEIGHTS = (
    (None, 'does not exist'),
    (dict(state_dict={}), 'it holds no state dict'),
    (dict(model=[]), 'its state dict holds more than tensors: model'),
    (dict(model={1: torch.ones(1)}), 'names of weights must be str, got 1'),
)


@pytest.mark.parametrize('script', READERS)
@pytest.mark.parametrize(('content', 'message'), NO_WEIGHTS, ids=str)
def test_what_holds_no_weights(fail, tmp_path, script, content, message):
    source = tmp_path / 'source.pth'
    if content is not None:
        torch.save(content, source)
    error = fail(script, source, tmp_path / 'target')
    assert str(source) in error and message in error and '--trust' not in error
    assert not (tmp_path / 'target').exists()


@pytest.mark.parametrize('script', READERS)
def test_code_runs_only_where_it_is_trusted(call, fail, tmp_path, dia_state, script):
    if script == 'torchvision_names':
        dia_state = torchvision.models.resnet18().state_dict()
    source, trap = tmp_path / 'source.pth', tmp_path / 'trap'
    torch.save(dict(state_dict=dia_state, best_acc=Call(Path.touch, trap)), source)
    message = fail(script, source, tmp_path / 'target')
    assert f'{source} holds ' in message and '--trust' in message and not trap.exists()
    call(script, source, tmp_path / 'target', '--trust')
    assert trap.exists() and (tmp_path / 'target').exists()


def test_target_in_use(call, fail, tmp_path, dia_state):
    source, target = save(dia_state, tmp_path / 'source.pth'), tmp_path / 'new' / 'target.pth'
    call('dianet', source, target)
    first = target.read_bytes()
    call('dianet', source, target)
    assert target.read_bytes() == first
    target.write_text('precious')
    assert f'{target} exists with another content' in fail('dianet', source, target)
    assert target.read_text() == 'precious' and os.listdir(target.parent) == ['target.pth']


def test_interruption_leaves_nothing(call, tmp_path, dia_state, monkeypatch):
    source = save(dia_state, tmp_path / 'source.pth')

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, 'replace', interrupt)
    with pytest.raises(KeyboardInterrupt):
        call('dianet', source, tmp_path / 'target.pth')
    assert os.listdir(tmp_path) == ['source.pth']


def test_no_script_hides_a_package():
    # A script's folder is searched before all packages.
    for path in FOLDER.glob('*.py'):
        spec = importlib.machinery.PathFinder.find_spec(path.stem, sys.path)
        assert path.stem not in sys.stdlib_module_names
        assert spec is None or Path(spec.origin).parent == FOLDER, path


# Torchvision's names


@pytest.mark.parametrize(
    ('name', 'args'),
    (
        ('resnet18', dict(depth=18)),
        ('resnet50', dict(depth=50)),
        ('resnext50_32x4d', dict(depth=50, groups=32, base_width=4)),
        ('wide_resnet50_2', dict(depth=50, base_width=128)),
    ),
)
@torch.no_grad()
def test_torchvision_and_back(call, tmp_path, name, args):
    theirs = torchvision.models.get_model(name, num_classes=CLASSES).eval()
    torch.save(theirs.state_dict(), tmp_path / 'theirs.pth')
    call('torchvision_names', tmp_path / 'theirs.pth', tmp_path / 'ours.pth')
    content = torch.load(tmp_path / 'ours.pth', weights_only=True)
    assert content['meta']['backbone'] == dict(type='mmdia.ResNet', **args)
    init_default_scope('mmpretrain')
    with torch.device('meta'):
        ours = MODELS.build(
            dict(
                type='ImageClassifier',
                backbone=content['meta']['backbone'],
                neck=dict(type='GlobalAveragePooling'),
                head=dict(
                    type='LinearClsHead',
                    num_classes=CLASSES,
                    in_channels=theirs.fc.in_features,
                ),
            )
        ).eval()
    ours.load_state_dict(content['state_dict'], strict=True, assign=True)
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)

    call('torchvision_names', tmp_path / 'ours.pth', tmp_path / 'back.pth')
    back = torch.load(tmp_path / 'back.pth', weights_only=True)
    expected = theirs.state_dict()
    assert back.keys() == expected.keys()
    assert all(torch.equal(value, expected[key]) for key, value in back.items())


def save_ours(path, heads=('head.fc.weight', 'head.fc.bias'), **kwargs):
    """Save a checkpoint of our ResNet-18 with other weights around it."""
    model = mmdia.registry.MODELS.build(dict(type='mmdia.ResNet', depth=18, **kwargs))
    state = {f'backbone.{key}': value for key, value in model.state_dict().items()}
    torch.save(dict(state_dict={**state, **{key: torch.zeros(2) for key in heads}}), path)
    return path


@pytest.mark.parametrize(
    'interaction', (dict(type='mmdia.DIALSTM'), dict(type='mmdia.RLA'), None), ids=str
)
def test_trunk_only(call, fail, tmp_path, interaction):
    heads = ('head.fc.weight', 'head.fc.bias') if interaction else ('neck.lateral_convs.0.bias',)
    source = save_ours(tmp_path / 'ours.pth', heads, interaction=interaction)
    target = tmp_path / 'theirs.pth'
    first = 'interaction.' if interaction else 'neck.lateral_convs.0.bias'
    message = fail('torchvision_names', source, target)
    assert 'torchvision has no name for ' in message and first in message
    assert message.endswith(': --trunk-only leaves them out, with the classifier')
    assert not target.exists()
    call('torchvision_names', source, target, '--trunk-only')
    expected = torchvision.models.resnet18().state_dict().keys() - {'fc.weight', 'fc.bias'}
    assert torch.load(target).keys() == expected


@pytest.mark.parametrize('options', ((), ('--trunk-only',)))
def test_trunks_that_torchvision_lacks(fail, tmp_path, options):
    source = save_ours(tmp_path / 'ours.pth', deep_stem=True)
    message = fail('torchvision_names', source, tmp_path / 'theirs.pth', *options)
    assert 'torchvision has no name for backbone.stem.0.conv.weight' in message
    assert '--trunk-only' not in message
    assert os.listdir(tmp_path) == ['ours.pth']


def test_trunk_only_is_for_ours(fail, tmp_path):
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / 'theirs.pth')
    message = fail('torchvision_names', tmp_path / 'theirs.pth', tmp_path / 'x', '--trunk-only')
    assert '--trunk-only is for checkpoints of ours' in message


# Publishing


CONFIG = 'configs/demo/dia-resnet18_digits.py'


@pytest.fixture
def trained(tmp_path):
    """What MMEngine saves after an epoch, and its model."""
    cfg = Config.fromfile(ROOT / CONFIG)
    cfg.work_dir = '/home/someone/secret'
    cfg.log_level = 'DEBUG'  # as from --cfg-options
    cfg.load_from = '/home/someone/else.pth'
    init_default_scope('mmpretrain')
    model = MODELS.build(cfg.model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    history = HistoryBuffer([1.0], [1])
    content = dict(
        meta=dict(
            epoch=5,
            iter=100,
            cfg=cfg.pretty_text,
            seed=1,
            experiment_name='dia-resnet18_20250102_030405',
            time='20250102_040506',
            hook_msgs=dict(last_ckpt='/home/someone/secret/epoch_4.pth'),
            dataset_meta=dict(classes=('cat', 'dog')),
        ),
        state_dict=model.state_dict(),
        message_hub=dict(log_scalars=dict(loss=history)),
        optimizer=optimizer.state_dict(),
        param_schedulers=[dict(last_step=5)],
    )
    path = tmp_path / 'epoch_5.pth'
    torch.save(content, path)
    return path, content, model


@pytest.fixture
def tiny(tmp_path):
    """A checkpoint of few weights."""
    content = dict(meta=dict(epoch=5), message_hub={}, state_dict=dict(weight=torch.ones(1)))
    path = tmp_path / 'epoch_5.pth'
    torch.save(content, path)
    return path, content


def published(folder, suffix='.pth'):
    (path,) = folder.glob(f'*{suffix}')
    return path


def rewrite(path, content):
    torch.save(content, path)
    return path


def test_publish(call, capsys, tmp_path, trained):
    path, content, model = trained
    out, entry = tmp_path / 'new' / 'out', tmp_path / 'entry.yml'
    call('publish_model', path, out, '--config', ROOT / CONFIG, '--entry', entry)
    file = published(out)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert file.name == f'dia-resnet18_digits-{digest[:8]}.pth'
    assert os.listdir(out) == [file.name]

    printed = capsys.readouterr()
    assert printed.out == entry.read_text() and printed.err == f'wrote {file}\n'
    (described,) = yaml.safe_load(printed.out)
    assert described == dict(
        Name='dia-resnet18_digits',
        Config=CONFIG,
        Weights=file.name,
        Metadata=dict(SHA256=digest, Parameters=sum(p.numel() for p in model.parameters())),
    )

    metafile = (ROOT / 'configs/dia/metafile.yml').read_text(encoding='utf-8')
    assert yaml.safe_load(metafile + printed.out)['Models'][-1] == described

    kept = torch.load(file, weights_only=True)
    assert kept.keys() == {'meta', 'state_dict'}
    assert kept['meta'].keys() == {'epoch', 'dataset_meta', 'mmdia_version', 'cfg'}
    assert kept['meta']['dataset_meta'] == dict(classes=('cat', 'dog'))
    assert kept['meta']['mmdia_version'] == mmdia.__version__
    assert b'someone' not in file.read_bytes()
    cfg = Config.fromstring(kept['meta']['cfg'], '.py')
    assert cfg.model == Config.fromfile(ROOT / CONFIG).model
    assert cfg.log_level == Config.fromfile(ROOT / CONFIG).log_level

    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    load_checkpoint(model, str(file), strict=True)
    for key, value in model.state_dict().items():
        assert torch.equal(value, content['state_dict'][key])


def test_publishing_again_gives_the_same(call, tmp_path, trained):
    path, content, _ = trained
    options = ['--config', ROOT / CONFIG, '--safetensors']
    call('publish_model', path, tmp_path / 'a', *options)
    # Another run of Python, in another folder, another file name, other things that are dropped
    content['optimizer'] = content['message_hub'] = None
    content['meta'].update(time='later', seed=2)
    content['state_dict'] = {
        key: torch.stack([value, value])[1] for key, value in content['state_dict'].items()
    }
    other = rewrite(tmp_path / 'other.pth', content)
    command = [sys.executable, FOLDER / 'publish_model.py', other, tmp_path / 'b', *options]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=100)
    files = sorted(os.listdir(tmp_path / 'a'))
    assert files == sorted(os.listdir(tmp_path / 'b')) and len(files) == 2
    for name in files:
        assert (tmp_path / 'a' / name).read_bytes() == (tmp_path / 'b' / name).read_bytes()


def test_safetensors(call, tmp_path, trained):
    load_file = pytest.importorskip('safetensors.torch').load_file
    path, content, _ = trained
    call('publish_model', path, tmp_path / 'out', '--safetensors')
    file = published(tmp_path / 'out', '.safetensors')
    assert hashlib.sha256(file.read_bytes()).hexdigest()[:8] == file.stem[-8:]
    state = load_file(file)
    assert state.keys() == content['state_dict'].keys()
    assert all(torch.equal(value, content['state_dict'][key]) for key, value in state.items())


def test_safetensors_not_installed(fail, tmp_path, trained, monkeypatch):
    monkeypatch.setitem(sys.modules, 'safetensors.torch', None)
    message = fail('publish_model', trained[0], tmp_path / 'out', '--safetensors')
    assert 'safetensors.torch' in message


def test_without_config(call, capsys, tmp_path, dia_state):
    path = rewrite(tmp_path / 'my_net.pth', dict(state_dict=dia_state))
    call('publish_model', path, tmp_path / 'out')
    (entry,) = yaml.safe_load(capsys.readouterr().out)
    assert entry.keys() == {'Name', 'Weights', 'Metadata'} and entry['Name'] == 'my_net'
    assert entry['Metadata'].keys() == {'SHA256'}


def test_averaged_weights(call, fail, tmp_path, trained):
    path, content, model = trained
    message = fail('publish_model', path, tmp_path / 'out', '--ema')
    assert 'it holds no averaged weights' in message
    plain = {key: value.clone() for key, value in content['state_dict'].items()}
    hook = EMAHook()
    hook.ema_model = ExponentialMovingAverage(model)
    for value in hook.ema_model.parameters():
        value.data += 1
    averaged = {k: v.clone() for k, v in hook.ema_model.module.state_dict().items()}
    hook.before_save_checkpoint(None, content)
    rewrite(path, content)

    assert 'choose --ema or --no-ema' in fail('publish_model', path, tmp_path / 'out')
    for option, expected in (('--ema', averaged), ('--no-ema', plain)):
        call('publish_model', path, tmp_path / option, option)
        state = torch.load(published(tmp_path / option))['state_dict']
        assert state.keys() == expected.keys()
        assert all(torch.equal(value, expected[key]) for key, value in state.items())


@pytest.mark.parametrize('value', (float('nan'), float('inf'), -float('inf')))
def test_not_finite(fail, tmp_path, trained, value):
    path, content, _ = trained
    content['state_dict']['backbone.layer1.0.conv1.weight'][0, 0] = value
    content['state_dict']['backbone.bn1.running_var'][3] = value
    message = fail('publish_model', rewrite(path, content), tmp_path / 'out')
    names = 'backbone.bn1.running_var, backbone.layer1.0.conv1.weight'
    assert message.endswith(f'not all values are finite in {names}')
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    ('backbone', 'message'),
    (
        (
            dict(depth=18, base_channels=16, stem_channels=16, small_stem=True),
            'interaction.gate_scale is not in the',
        ),
        (dict(depth=50), 'do not fit the model: '),
    ),
)
def test_unfit_config(fail, tmp_path, trained, backbone, message):
    backbone = dict(backbone, _delete_=True, type='mmdia.ResNet')
    config = tmp_path / 'other.py'
    config.write_text(f'_base_ = {str(ROOT / CONFIG)!r}\nmodel = dict(backbone={backbone})')
    assert message in fail('publish_model', trained[0], tmp_path / 'out', '--config', config)
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    ('text', 'message'),
    (
        ('model = dict(', 'SyntaxError'),
        ('a = 1', 'its config builds no model: '),
        ("model = dict(type='Unknown')", 'its config builds no model: '),
        ("model = dict(type='ImageClassifier', backbone=5)", 'its config builds no model: '),
        ('model = 5', 'its config builds no model: '),
    ),
)
def test_config_that_fails(call, tmp_path, tiny, text, message, capsys):
    config = tmp_path / 'again.py'
    config.write_text(f"default_scope = 'mmpretrain'\n{text}\n")
    with pytest.raises(SystemExit) as error:
        call('publish_model', tiny[0], tmp_path / 'out', '--config', config)
    assert message in f'{error.value}{capsys.readouterr().err}'
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('dtype', ('float8_e5m2', 'bfloat16', 'complex64', 'int8', 'bool'))
def test_types_of_weights(call, fail, tmp_path, tiny, dtype):
    path, content = tiny
    dtype = getattr(torch, dtype)
    content['state_dict']['weight'] = torch.ones(2).to(dtype)
    call('publish_model', rewrite(path, content), tmp_path / 'out')
    assert torch.load(published(tmp_path / 'out'))['state_dict']['weight'].dtype == dtype
    if dtype.is_floating_point or dtype.is_complex:
        content['state_dict']['weight'] = torch.tensor([1, float('inf')]).to(dtype)
        message = fail('publish_model', rewrite(path, content), tmp_path / 'other')
        assert 'not all values are finite in weight' in message


# What runs code when a config is read, or when its model is built.
EVIL = (
    "open('trap', 'w').close()",
    "x = dict(y=[open('trap', 'w').close()])",
    "_base_ = 'evil.py'",
    "_base_ = ['./evil.py']",
    "custom_imports = dict(imports=['evil'])",
    "model = dict(type='evil.Model')",
    "model = dict(type='subprocess.getoutput', cmd='touch trap')",
    "model['backbone']['norm_cfg'] = dict(type='subprocess.getoutput', cmd='touch trap')",
    "model['_scope_'] = 'evil'",
    'from mmengine.config import read_base\nwith read_base():\n    from .evil import *',
    'from evil import Model\nmodel = dict(type=Model)',
    "{{_base_.x}}\n_base_ = 'evil.py'",
)


@pytest.fixture
def evil(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'evil.py').write_text("open('trap', 'w').close()\nModel = dict")


@pytest.mark.usefixtures('evil')
@pytest.mark.parametrize('text', EVIL)
def test_configs_in_checkpoints_are_not_read(call, tiny, text):
    path, content = tiny
    text = f'{Config.fromfile(ROOT / CONFIG).pretty_text}\n{text}'
    content['meta'].update(cfg=text, config=text)
    content['message_hub']['runtime_info'] = dict(cfg=text)
    call('publish_model', rewrite(path, content), 'out')
    assert not Path('trap').exists() and 'evil' not in sys.modules
    # Nor is it given to others.
    assert torch.load(published(Path('out')))['meta'].keys() == {'epoch', 'mmdia_version'}


@pytest.mark.usefixtures('evil')
def test_configs_in_checkpoints_do_not_replace_the_given_one(call, trained):
    path, content, _ = trained
    content['meta']['cfg'] += "\ncustom_imports = dict(imports=['evil'])"
    call('publish_model', rewrite(path, content), 'out', '--config', ROOT / CONFIG)
    assert 'evil' not in torch.load(published(Path('out')))['meta']['cfg']
    assert not Path('trap').exists()


def test_config_in_a_trusted_checkpoint(call, capsys, tmp_path, trained, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, content, model = trained
    content['meta']['cfg'] += "\nopen('trap', 'w').close()"
    call('publish_model', rewrite(path, content), 'out', '--trust')
    assert Path('trap').exists()
    (entry,) = yaml.safe_load(capsys.readouterr().out)
    assert entry['Metadata']['Parameters'] == sum(p.numel() for p in model.parameters())
    cfg = torch.load(published(Path('out')))['meta']['cfg']
    assert 'DEBUG' in cfg and 'someone' not in cfg


@pytest.mark.parametrize(
    'name',
    (
        *('../../x', '/x', 'a/b', 'a/../../b', '..', '.', '.hidden', '-x', 'a\\b', 'a\nb', 'a\n'),
        *('a\0b', 'a b', 'a\x1b[2J', '\u202ea', 'x' * 300, '../x_20250102_030405', 5, ['a'], b'a'),
    ),
    ids=repr,
)
def test_names_of_runs_that_are_no_names(call, fail, tmp_path, tiny, name):
    path, content = tiny
    content['meta']['experiment_name'] = name
    rewrite(path, content)
    message = fail('publish_model', path, tmp_path / 'in' / 'out')
    assert f'{path}: meta.experiment_name must be ' in message and repr(name) in message
    assert os.listdir(tmp_path) == ['epoch_5.pth']


@pytest.mark.parametrize(
    ('name', 'expected'),
    (
        ('net_20250102_030405', 'net'),
        ('', 'epoch_5'),
        (None, 'epoch_5'),
        ('_20250102_030405', 'epoch_5'),
    ),
)
def test_names_of_runs(call, tmp_path, tiny, name, expected):
    path, content = tiny
    content['meta']['experiment_name'] = name
    call('publish_model', rewrite(path, content), tmp_path / 'out')
    assert published(tmp_path / 'out').name[:-13] == expected


@pytest.mark.parametrize('value', (None, [], {1: torch.ones(1)}, {'module.a': 1}))
def test_averaged_weights_that_are_none(fail, tmp_path, tiny, value):
    path, content = tiny
    content['ema_state_dict'] = value
    message = fail('publish_model', rewrite(path, content), tmp_path / 'out', '--no-ema')
    assert str(path) in message and not (tmp_path / 'out').exists()


def test_entry_in_use(call, fail, tmp_path, trained):
    entry = tmp_path / 'metafile.yml'
    entry.write_text('precious')
    message = fail('publish_model', trained[0], tmp_path / 'out', '--entry', entry)
    assert f'{entry} exists with another content' in message
    assert entry.read_text() == 'precious'
