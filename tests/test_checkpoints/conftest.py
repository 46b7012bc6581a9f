import hashlib
import io
import socket

import pytest
import torch
from mmengine.fileio import dump
from mmengine.runner import CheckpointLoader

from mmdia.checkpoints import download, index, load_safely

from .server import Server

STATE = dict(weight=torch.arange(50_000.0))


def to_bytes(state):
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def no_internet(monkeypatch):
    connect = socket.socket.connect

    def connect_here(self, address):
        if isinstance(address, tuple) and address[0] != '127.0.0.1':
            raise AssertionError(f'a test connects to {address}')
        return connect(self, address)

    monkeypatch.setattr(socket.socket, 'connect', connect_here)
    monkeypatch.setenv('no_proxy', '127.0.0.1')


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Where downloads go; nothing of the user's is seen."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    monkeypatch.delenv('MMDIA_CHECKPOINTS', raising=False)
    monkeypatch.delenv('MMDIA_TRUST', raising=False)
    return tmp_path / 'torch' / 'hub' / 'checkpoints'


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(download, 'PAUSE', 0.01)


@pytest.fixture
def read_safely(monkeypatch):
    """What load_safely changes is undone afterwards."""
    monkeypatch.setattr(CheckpointLoader, '_schemes', CheckpointLoader._schemes.copy())
    load_safely()


@pytest.fixture
def content():
    return to_bytes(STATE)


@pytest.fixture
def digits(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def name(digits):
    """The name of the file of the trunk."""
    return f'weights-{digits[:8]}.pth'


@pytest.fixture
def server(content):
    with Server(content) as server:
        yield server


@pytest.fixture
def name_trunk(tmp_path, monkeypatch, digits):
    """Replaces the index by one trunk of some URLs."""

    def write_index(*urls, digits=digits[:8], models=()):
        trunk = {'Name': 'trunk', 'Top 1 Accuracy': 76.5, 'SHA256': digits, 'URLs': list(urls)}
        trunk['Backbone'] = dict(type='mmdia.ResNet', depth=18)
        dump(dict(Trunks=[trunk]), tmp_path / 'index.yml')
        dump(dict(Import=['metafile.yml']), tmp_path / 'model-index.yml')
        dump(dict(Models=list(models)), tmp_path / 'metafile.yml')
        monkeypatch.setattr(index, 'TRUNKS', tmp_path / 'index.yml')
        monkeypatch.setattr(index, 'MODEL_INDEX', tmp_path / 'model-index.yml')

    return write_index
