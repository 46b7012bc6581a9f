"""The scheme mmdia:// in MMEngine, in either order of imports and from any library's scope.

And files, URLs and names of other libraries once they are to be read safely.
"""

import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from mmengine.runner import CheckpointLoader, checkpoint

from mmdia.checkpoints import DownloadError, UnsafeCheckpointError, loading_safely, save_file
from mmdia.checkpoints.import_hook import Watcher
from mmdia.models import ResNet

from ..helpers import randomize
from .conftest import STATE, to_bytes
from .test_reader import Call

ROOT = Path(__file__).parents[2]
SLIM = dict(depth=18, base_channels=8)


def digest(path):
    return sha256(path.read_bytes()).hexdigest()


def test_load(server, name_trunk):
    name_trunk(server.url('good'))
    state = CheckpointLoader.load_checkpoint('mmdia://trunk', map_location='cpu', logger='silent')
    assert torch.equal(state['weight'], STATE['weight'])


def test_no_code_runs(name_trunk, tmp_path, monkeypatch):
    monkeypatch.setenv('MMDIA_CHECKPOINTS', str(tmp_path))
    torch.save(Call(Path.touch, tmp_path / 'trap'), tmp_path / 'weights.pth')
    digits = digest(tmp_path / 'weights.pth')
    name_trunk('http://x/weights.pth', digits=digits)
    with pytest.raises(UnsafeCheckpointError):
        CheckpointLoader.load_checkpoint('mmdia://trunk', logger='silent')
    assert not (tmp_path / 'trap').exists()


def test_unknown_name():
    with pytest.raises(ValueError, match="there is no checkpoint 'nothing'"):
        CheckpointLoader.load_checkpoint('mmdia://nothing', logger='silent')


# What registers the scheme, in a fresh process.
ORDERS = {
    'mmdia-first': 'import mmdia\nfrom mmengine.runner import CheckpointLoader',
    'mmengine-first': 'from mmengine.runner import CheckpointLoader\nimport mmdia',
    'models': 'import mmdia.models\nfrom mmengine.runner import CheckpointLoader',
}


@pytest.mark.parametrize('order', ORDERS.values(), ids=ORDERS)
def test_order_of_imports(order):
    code = f"""{order}
import sys
assert CheckpointLoader._get_checkpoint_loader('mmdia://x').__name__ == 'load_from_mmdia'
for path in ('http://x', 'x'):
    assert CheckpointLoader._get_checkpoint_loader(path).__module__ == 'mmengine.runner.checkpoint'
assert 'mmengine.runner.checkpoint' not in [getattr(finder, 'name', '') for finder in sys.meta_path]
"""
    subprocess.run([sys.executable, '-c', code], check=True, timeout=120)


def test_watcher_leaves_other_modules_alone():
    watcher = Watcher('some.module', print)
    assert watcher.find_spec('another.module') is None


# Without custom_imports: the type of the backbone is enough.
@pytest.mark.parametrize('library', ('mmpretrain', 'mmdet'))
def test_config_of_another_library(name_trunk, tmp_path, library):
    pytest.importorskip(library)
    trunk = randomize(ResNet(**SLIM))
    folder = tmp_path / 'mirror'
    folder.mkdir()
    torch.save(trunk.state_dict(), folder / 'weights.pth')
    name_trunk('http://x/weights.pth', digits=digest(folder / 'weights.pth'))
    code = f"""
import os, torch
from pathlib import Path
from {library}.registry import MODELS
from mmengine.registry import DefaultScope
DefaultScope.get_instance('test', scope_name='{library}')
model = MODELS.build(dict(
    type='mmdia.ResNet', depth=18, base_channels=8, interaction=dict(type='mmdia.DIALSTM', ratio=4),
    init_cfg=dict(type='Pretrained', checkpoint='mmdia://trunk')))
from mmdia.checkpoints import index
index.TRUNKS = Path({str(tmp_path / 'index.yml')!r})
os.environ['MMDIA_CHECKPOINTS'] = {str(folder)!r}
model.init_weights()
state = torch.load({str(folder / 'weights.pth')!r})
assert all(torch.equal(model.state_dict()[key], value) for key, value in state.items())
"""
    subprocess.run([sys.executable, '-c', code], check=True, timeout=120, cwd=ROOT)


def load(path):
    with loading_safely():
        return CheckpointLoader.load_checkpoint(str(path), map_location='cpu', logger='silent')


@pytest.fixture
def trap(tmp_path):
    return tmp_path / 'trap'


@pytest.fixture
def unsafe(trap):
    return to_bytes(dict(state_dict=STATE, meta=Call(Path.touch, trap)))


def test_files(tmp_path, unsafe, trap, monkeypatch):
    path = tmp_path / 'weights.pth'
    path.write_bytes(unsafe)
    with pytest.raises(UnsafeCheckpointError, match=f'checkpoint {path} holds .* --trust'):
        load(path)
    assert not trap.exists()
    monkeypatch.setenv('MMDIA_TRUST', '1')
    assert torch.equal(load(path)['state_dict']['weight'], STATE['weight'])
    assert trap.exists()
    with pytest.raises(FileNotFoundError, match=r'checkpoint \S+/none\.pth does not exist'):
        load(tmp_path / 'none.pth')


def test_home(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    torch.save(STATE, tmp_path / 'weights.pth')
    assert load('~/weights.pth').keys() == STATE.keys()


def test_urls(server, cache):
    for _ in range(2):
        assert torch.equal(load(server.url('good'))['weight'], STATE['weight'])
    assert server.paths() == ['/good/weights.pth']
    assert (cache / 'weights.pth').read_bytes() == server.content


@pytest.mark.parametrize('behaviour', ('missing', 'truncated', 'truncated-in-silence'))
def test_urls_that_fail(server, cache, behaviour):
    with pytest.raises((DownloadError, ValueError), match=r'weights\.pth'):
        load(server.url(behaviour))
    if behaviour != 'truncated-in-silence':  # which no one can notice
        assert not (cache / 'weights.pth').exists()
        # What there is of one file is no beginning of another.
        assert torch.equal(load(server.url('good'))['weight'], STATE['weight'])
        assert server.requests[-1][1] is None


@pytest.mark.parametrize('name', ('torchvision://net', 'open-mmlab://net', 'mmcls://net'))
def test_names_of_other_libraries(server, name, unsafe, trap, monkeypatch):
    for function in ('get_torchvision_models', 'get_external_models', 'get_mmcls_models'):
        monkeypatch.setattr(checkpoint, function, lambda: dict(net=server.url('good')))
    server.content = unsafe
    with pytest.raises(UnsafeCheckpointError):
        load(name)
    assert not trap.exists()


def test_safetensors(tmp_path):
    pytest.importorskip('safetensors')
    save_file(STATE, tmp_path / 'weights.safetensors')
    # Below a key, without which MMEngine's EMAHook fails.
    assert torch.equal(
        load(tmp_path / 'weights.safetensors')['state_dict']['weight'], STATE['weight']
    )


def test_afterwards_mmengine_reads_as_before(tmp_path, unsafe, trap):
    before = CheckpointLoader._schemes, checkpoint.load_from_http
    path = tmp_path / 'weights.pth'
    path.write_bytes(unsafe)
    with pytest.raises(UnsafeCheckpointError):
        load(path)
    assert (CheckpointLoader._schemes, checkpoint.load_from_http) == before
    CheckpointLoader.load_checkpoint(str(path), logger='silent')
    assert trap.exists()
