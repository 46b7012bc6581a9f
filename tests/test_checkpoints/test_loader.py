"""The scheme mmdia:// in MMEngine, in either order of imports and from any library's scope."""

import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from mmengine.runner import CheckpointLoader

from mmdia.checkpoints import UnsafeCheckpointError
from mmdia.checkpoints.import_hook import Watcher
from mmdia.models import ResNet

from ..helpers import randomize
from .conftest import STATE
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
assert CheckpointLoader._get_checkpoint_loader('http://x').__name__ == 'load_from_http'
assert not any(type(finder).__name__ == 'Watcher' for finder in sys.meta_path)
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
