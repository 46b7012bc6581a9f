"""The scheme mmdia: in MMEngine, from any library's scope.

And files, URLs and names of other libraries once they are to be read safely.
"""

import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from mmengine.runner import CheckpointLoader
from torch import nn

from mmdia.checkpoints import DownloadError, UnsafeCheckpointError, loader, save_file
from mmdia.models import ResNet
from mmdia.models.utils import load_pretrained

from ..helpers import randomize
from .conftest import STATE, to_bytes
from .test_reader import Call

ROOT = Path(__file__).parents[2]
SLIM = dict(depth=18, base_channels=8)


def name_trunk_as(name_trunk, path):
    """Give a file the name that it has in a mirror."""
    digits = sha256(path.read_bytes()).hexdigest()
    name_trunk('http://x/weights.pth', digits=digits)
    path.rename(path.with_name(f'weights-{digits[:8]}.pth'))


def test_load(server, name_trunk):
    name_trunk(server.url('good'))
    state = CheckpointLoader.load_checkpoint('mmdia://trunk', map_location='cpu', logger='silent')
    assert torch.equal(state['weight'], STATE['weight'])


def test_no_code_runs(name_trunk, tmp_path, monkeypatch):
    monkeypatch.setenv('MMDIA_CHECKPOINTS', str(tmp_path))
    torch.save(Call(Path.touch, tmp_path / 'trap'), tmp_path / 'weights.pth')
    name_trunk_as(name_trunk, tmp_path / 'weights.pth')
    with pytest.raises(UnsafeCheckpointError):
        CheckpointLoader.load_checkpoint('mmdia://trunk', logger='silent')
    assert not (tmp_path / 'trap').exists()


def test_unknown_name():
    with pytest.raises(ValueError, match="there is no checkpoint 'nothing'"):
        CheckpointLoader.load_checkpoint('mmdia://nothing', logger='silent')


def test_the_other_schemes_stay():
    find = CheckpointLoader._get_checkpoint_loader
    assert find('mmdia://x').__name__ == 'load_from_mmdia'
    for path in ('http://x', 'x'):
        assert find(path).__module__ == 'mmengine.runner.checkpoint'


# The first type of ours in a process, without custom_imports: that of a backbone or of a plugin.
PLUGIN = """
from mmdet.models.backbones import ResNet
model = ResNet(50, plugins=[dict(cfg=dict(type='mmdia.SE'), position='after_conv3')])
assert type(model.layer1[0].se).__module__ == 'mmdia.models.attentions.se'
"""


@pytest.mark.parametrize(('library', 'first'), (('mmpretrain', ''), ('mmdet', PLUGIN)))
def test_config_of_another_library(name_trunk, tmp_path, library, first):
    pytest.importorskip(f'{library}.models')
    trunk = randomize(ResNet(**SLIM))
    folder = tmp_path / 'mirror'
    folder.mkdir()
    torch.save(trunk.state_dict(), folder / 'weights.pth')
    name_trunk_as(name_trunk, folder / 'weights.pth')
    (path,) = folder.iterdir()
    code = f"""
import os, torch
from pathlib import Path
from {library}.registry import MODELS
from mmengine.registry import DefaultScope, MODELS as ROOT
DefaultScope.get_instance('test', scope_name='{library}')
{first}
slim = dict(depth=18, stem_channels=8, base_channels=8)
model = MODELS.build(dict(
    type='mmdia.ResNet', interaction=dict(type='mmdia.DIALSTM', ratio=4),
    init_cfg=dict(type='Pretrained', checkpoint='mmdia://trunk'), **slim))
for models in (MODELS, ROOT):
    named = models.build(dict(type='mmdia.DIAResNet', ratio=4, **slim))
    assert type(named).__module__ == 'mmdia.models.backbones.named'
rla = MODELS.build(dict(type='mmdia.ResNet', interaction=dict(type='RLA'), **slim))
assert type(rla.interaction).__name__ == 'RLA'
from mmdia.checkpoints import index
index.TRUNKS = Path({str(tmp_path / 'index.yml')!r})
os.environ['MMDIA_CHECKPOINTS'] = {str(folder)!r}
model.init_weights()
state = torch.load({str(path)!r})
assert all(torch.equal(model.state_dict()[key], value) for key, value in state.items())
"""
    subprocess.run([sys.executable, '-c', code], check=True, timeout=120, cwd=ROOT)


def load(path, prefix='mmdia:'):
    return CheckpointLoader.load_checkpoint(f'{prefix}{path}', 'cpu', logger='silent')


@pytest.fixture
def trap(tmp_path):
    return tmp_path / 'trap'


@pytest.fixture
def unsafe(trap):
    return to_bytes(dict(state_dict=STATE, meta=Call(Path.touch, trap)))


@pytest.mark.usefixtures('read_safely')
@pytest.mark.parametrize('prefix', ('', 'mmdia:'))
def test_files(tmp_path, unsafe, trap, monkeypatch, prefix):
    path = tmp_path / 'weights.pth'
    path.write_bytes(unsafe)
    with pytest.raises(UnsafeCheckpointError, match=f'checkpoint {path} holds .* --trust'):
        load(path, prefix)
    assert not trap.exists()
    monkeypatch.setenv('MMDIA_TRUST', '1')
    assert torch.equal(load(path, prefix)['state_dict']['weight'], STATE['weight'])
    assert trap.exists()
    with pytest.raises(FileNotFoundError, match=r'checkpoint \S+/none\.pth does not exist'):
        load(tmp_path / 'none.pth', prefix)


def test_home(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    torch.save(STATE, tmp_path / 'weights.pth')
    assert load('~/weights.pth').keys() == STATE.keys()


@pytest.mark.usefixtures('read_safely')
@pytest.mark.parametrize('prefix', ('', 'mmdia:'))
def test_urls(server, prefix):
    for _ in range(2):
        assert torch.equal(load(server.url('good'), prefix)['weight'], STATE['weight'])
    assert server.requests == ['/good/weights.pth']


@pytest.mark.parametrize('behaviour', ('missing', 'truncated', 'truncated-in-silence', 'wrong'))
def test_urls_that_fail(server, cache, behaviour):
    with pytest.raises(DownloadError, match=r'weights\S*\.pth'):
        load(server.url(behaviour))
    assert not list(cache.glob('*.pth'))


@pytest.mark.usefixtures('read_safely')
@pytest.mark.parametrize('prefix', ('', 'mmdia:'))
@pytest.mark.parametrize('scheme', loader.NAMES)
def test_names_of_other_libraries(server, scheme, prefix, unsafe, trap, monkeypatch, digits):
    urls = dict(
        good=server.url('good'),
        damaged=server.url('wrong', 'weights-0123abcd.pth'),
    )
    monkeypatch.setitem(loader.NAMES, scheme, lambda: urls)
    content = load(f'{scheme}good', prefix)
    assert content == dict(state_dict={}) if scheme == 'mmcls://' else 'weight' in content
    # The hash in the name of a file has to be its own.
    with pytest.raises(DownloadError, match='wrong content'):
        load(f'{scheme}damaged', prefix)
    with pytest.raises(ValueError, match=f'there is no checkpoint {scheme}other'):
        load(f'{scheme}other', prefix)
    server.content = unsafe
    urls['good'] = server.url('good', 'other.pth')
    with pytest.raises(UnsafeCheckpointError):
        load(f'{scheme}good', prefix)
    assert not trap.exists()


def test_names_of_other_libraries_are_known():
    assert loader.find_url('torchvision://resnet18').endswith('/resnet18-f37072fd.pth')
    assert loader.find_url('open-mmlab://resnet50_caffe').endswith('.pth')
    assert loader.find_url('mmcls://vgg11').startswith('https://')


def test_safetensors(tmp_path):
    pytest.importorskip('safetensors')
    save_file(STATE, tmp_path / 'weights.safetensors')
    # Below a key, without which MMEngine's EMAHook fails.
    assert torch.equal(
        load(tmp_path / 'weights.safetensors')['state_dict']['weight'], STATE['weight']
    )


# A config in a checkpoint is Python: MMEngine reads meta.config when it resumes, and builds the
# others where an inferencer is given no config.
def test_configs_are_dropped(tmp_path, monkeypatch):
    code = dict(cfg='open("trap", "w")', config='open("trap", "w")')
    hub = dict(runtime_info=dict(code, epoch=1), log_scalars={})
    torch.save(dict(state_dict=STATE, meta=dict(code, epoch=1), message_hub=hub), tmp_path / 'a')
    content = load(tmp_path / 'a')
    assert content['meta'] == content['message_hub']['runtime_info'] == dict(epoch=1)
    monkeypatch.setenv('MMDIA_TRUST', '1')
    assert load(tmp_path / 'a')['meta'] == dict(code, epoch=1)


CONTENTS = {
    'tensor': (torch.ones(3), 'holds no state dict, but a Tensor'),
    'list': ([torch.ones(3)], 'holds no state dict, but a list'),
    'none': (None, 'holds no state dict, but a NoneType'),
    'state': (dict(state_dict=[]), 'holds no state dict, but a list'),
    'numbers': ({0: torch.ones(3)}, 'names of weights must be str, got 0'),
    'numbers-below': (dict(state_dict={0: torch.ones(3)}), 'names of weights must be str, got 0'),
}
FILES = {
    'empty': (b'', ValueError, 'is truncated or not a checkpoint'),
    'text': (b'custom_hooks = []', ValueError, 'is truncated or not a checkpoint'),
    'number': (b'5', ValueError, 'is truncated or not a checkpoint'),
    'folder': (None, OSError, 'Is a directory'),
}


@pytest.mark.usefixtures('read_safely')
@pytest.mark.parametrize('read', (load, lambda path: load_pretrained(nn.Linear(1, 1), str(path))))
@pytest.mark.parametrize('name', (*CONTENTS, *FILES))
def test_wrong_content(tmp_path, name, read):
    path = tmp_path / 'weights.pth'
    if name in CONTENTS:
        content, message = CONTENTS[name]
        torch.save(content, path)
        error = ValueError
    else:
        content, error, message = FILES[name]
        path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(error, match=f'{path}.*{message}|{message}.*{path}') as caught:
        read(path)
    assert '--trust' not in str(caught.value)


def test_unreadable_file(tmp_path, monkeypatch):
    torch.save(STATE, tmp_path / 'weights.pth')

    def deny(path, *args):
        raise PermissionError(13, 'Permission denied', str(path))

    monkeypatch.setattr('mmdia.checkpoints.reader.open', deny, raising=False)
    with pytest.raises(PermissionError, match=r'weights\.pth'):
        load(tmp_path / 'weights.pth')


def test_meta_may_be_none(tmp_path):
    torch.save(dict(state_dict=STATE, meta=None), tmp_path / 'weights.pth')
    assert load(tmp_path / 'weights.pth').keys() == {'state_dict'}
