"""Reading of files: nothing that they bring along runs, and what MMEngine saves is read."""

import os
import pickle
import sys
from argparse import Namespace
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler
from mmengine.runner import Runner
from torch.utils.data import Dataset

from mmdia.checkpoints import UnsafeCheckpointError, read_file, save_file, unpickler


class Call:
    """What calls a function when it is unpickled."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'checkpoint.pth'


@pytest.fixture
def trap(tmp_path, path):
    trap = tmp_path / 'trap'
    torch.save(dict(state_dict=dict(weight=torch.ones(2)), meta=Call(Path.touch, trap)), path)
    return trap


# Zip files, and what torch < 1.6 saved.
@pytest.mark.parametrize('zipped', (True, False))
def test_plain_weights(path, zipped):
    torch.save(dict(weight=torch.ones(2)), path, _use_new_zipfile_serialization=zipped)
    assert torch.equal(read_file(str(path))['weight'], torch.ones(2))
    assert read_file(path, map_location='meta')['weight'].is_meta


@pytest.mark.parametrize('zipped', (True, False))
def test_code_does_not_run(path, tmp_path, zipped):
    trap = tmp_path / 'trap'
    torch.save(dict(meta=Call(Path.touch, trap)), path, _use_new_zipfile_serialization=zipped)
    message = rf'{path} holds pathlib\S*\.Path\S*, which is no plain value.*MMDIA_TRUST=1.*--trust'
    with pytest.raises(UnsafeCheckpointError, match=message):
        read_file(path)
    assert not trap.exists()
    torch.load(path, weights_only=False)  # the trap works
    assert trap.exists()


def test_commands_do_not_run(path, tmp_path):
    trap = tmp_path / 'trap'
    torch.save(Call(os.system, f'touch {trap}'), path)
    with pytest.raises(UnsafeCheckpointError, match=r'holds \w+\.system, which is no plain value'):
        read_file(path)
    assert not trap.exists()


@pytest.mark.parametrize('how', ('argument', 'variable'))
def test_trusted_code_runs(path, trap, how, monkeypatch):
    if how == 'variable':
        monkeypatch.setenv('MMDIA_TRUST', '1')
    assert read_file(path, trust=how == 'argument')['state_dict']
    assert trap.exists()


@pytest.mark.parametrize('value', ('', '0'))
def test_variable_that_trusts_nothing(path, trap, monkeypatch, value):
    monkeypatch.setenv('MMDIA_TRUST', value)
    with pytest.raises(UnsafeCheckpointError):
        read_file(path)
    assert not trap.exists()


@pytest.mark.parametrize(
    'args', ((HistoryBuffer, '__init__'), (HistoryBuffer, 'statistics'), (np.ndarray, 'tofile'))
)
def test_other_attributes_are_refused(path, args):
    torch.save(dict(a=Call(getattr, *args)), path)
    with pytest.raises(UnsafeCheckpointError, match='getattr'):
        read_file(path)


def test_known_methods_are_read(path):
    methods = [(HistoryBuffer, name) for name in ('min', 'max', 'current', 'mean')]
    methods += [(OneCycleParamScheduler, f'_annealing_{name}') for name in ('cos', 'linear')]
    torch.save([Call(getattr, *method) for method in methods], path)
    assert read_file(path) == [getattr(*method) for method in methods]


@pytest.mark.parametrize('zipped', (True, False))
def test_options_of_training_scripts(path, zipped):
    args = Namespace(lr=0.1, data='cifar', milestones=[60, 120])
    torch.save(dict(args=args, best=0.5), path, _use_new_zipfile_serialization=zipped)
    assert read_file(path) == dict(args=args, best=0.5)


@pytest.mark.parametrize('zipped', (True, False))
def test_what_is_read_is_what_was_saved(path, zipped):
    view = torch.arange(12.0).view(3, 4).t()
    content = dict(
        views=[view, view[1], view.expand(2, 4, 3)],
        types=[torch.ones(2, dtype=dtype) for dtype in (torch.half, torch.bool, torch.complex64)],
        empty=[torch.ones(0), torch.ones(2, 0), torch.tensor(3)],
        parameter=torch.nn.Parameter(torch.ones(2)),
        values=[None, True, 1, -1, 2**80, 0.5, 1j, 'text', b'bytes', (1, (2,))],
        sets={1, 'a'},
        torch=[torch.float16, torch.device('cuda:1'), torch.Size((1, 2))],
        nested={1: {(1, 'a'): [{}]}},
        milestones=Counter([1, 1, 2]),
    )
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    read = read_file(path)
    assert read.keys() == content.keys()
    for name in ('views', 'types', 'empty'):
        for value, expected in zip(read.pop(name), content.pop(name), strict=True):
            assert torch.equal(value, expected) and value.dtype == expected.dtype
            assert value.stride() == expected.stride()
    parameter = read.pop('parameter')
    assert type(parameter) is torch.nn.Parameter and parameter.requires_grad
    assert torch.equal(parameter, content.pop('parameter'))
    assert read == content
    assert [type(value) for value in read['values']] == [type(v) for v in content['values']]


def test_tensors_are_read_by_a_pytorch_that_lacks_the_latest_form(path, monkeypatch):
    monkeypatch.delattr('torch._utils._rebuild_tensor_v3', raising=False)  # as in torch 2.1
    monkeypatch.setattr(unpickler, 'known_names', unpickler.known_names.__wrapped__)
    torch.save(dict(weight=torch.ones(2)), path)
    assert torch.equal(read_file(path)['weight'], torch.ones(2))


def test_versions_of_modules_are_read(path):
    state = torch.nn.BatchNorm2d(2).state_dict()
    torch.save(state, path)
    assert read_file(path)._metadata == state._metadata


def test_where_torch_may_only_read_weights(path, trap, monkeypatch):
    monkeypatch.setenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '1')
    with pytest.raises(ValueError, match='is truncated or not a checkpoint'):
        read_file(path)
    torch.save(dict(weight=torch.ones(2)), path)
    assert torch.equal(read_file(path)['weight'], torch.ones(2))


@pytest.mark.parametrize(
    'value',
    (
        np.float64(0.5),
        np.float32(0.5),
        np.int64(3),
        np.bool_(True),
        np.str_('text'),
        np.arange(3),
        np.arange(6.0).reshape(2, 3).T,
        np.arange(0),
        np.array(2),
        np.array(['a', 'b']),
    ),
    ids=lambda value: f'{type(value).__name__}-{value.dtype}',
)
@pytest.mark.parametrize('core', ('numpy.core', 'numpy._core'))
def test_values_of_numpy(path, value, core):
    # As either version of NumPy writes it.
    torch.save(value, path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    for other in (b'numpy.core.', b'numpy._core.'):
        data = data.replace(other, f'{core}.'.encode())
    path.write_bytes(data)
    read = read_file(path)
    assert type(read) is type(value) and np.array_equal(read, value)


@pytest.mark.parametrize(
    'damage',
    (
        lambda data: b'',
        lambda data: b'hello, world',
        lambda data: b'<html>please log in</html>',
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: pickle.dumps([1], protocol=4),
    ),
)
def test_damaged_files(path, damage):
    torch.save(dict(weight=torch.ones(1000)), path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=f'checkpoint {path} is truncated or not a checkpoint: '):
        read_file(path)


def test_no_file(path):
    for missing in (path, path.with_suffix('.safetensors')):
        with pytest.raises(FileNotFoundError):
            read_file(missing)


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(2, 2)

    def forward(self, x, mode='tensor'):
        y = self.fc(x)
        return dict(loss=y.square().mean()) if mode == 'loss' else [y]


class Ones(Dataset):
    metainfo = dict(classes=('a', 'b'), palette=[(1, 2, 3)])

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return dict(x=torch.ones(2))


class Scores(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results.append(1)

    def compute_metrics(self, results):
        return dict(a=np.float64(0.5), b=np.float32(0.5), c=np.int64(3), d=np.array([1.0, 2.0]))


def train(work_dir, schedule):
    """A run that saves as much as MMEngine can."""
    loader = dict(
        batch_size=2,
        dataset=Ones(),
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='default_collate'),
    )
    Runner(
        Model(),
        str(work_dir),
        train_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=2),
        val_dataloader=loader,
        val_cfg=dict(),
        val_evaluator=[Scores()],
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.1)),
        param_scheduler=schedule,
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', save_best='a', rule='greater')),
        custom_hooks=[dict(type='EMAHook')],
        experiment_name=work_dir.name,
        log_level='ERROR',
    ).train()
    return work_dir / 'epoch_2.pth'


ONE_CYCLE = dict(type='OneCycleLR', eta_max=0.1, total_steps=2)
SCHEDULES = {
    'one-cycle-cos': [ONE_CYCLE],
    'one-cycle-linear': [dict(ONE_CYCLE, anneal_strategy='linear')],
    'others': [
        dict(type='LinearLR', start_factor=0.1, end=1),
        dict(type='CosineAnnealingLR', T_max=2),
        dict(type='MultiStepLR', milestones=[1]),
        dict(type='PolyLR'),
    ],
}


@pytest.mark.parametrize(('name', 'schedule'), SCHEDULES.items(), ids=SCHEDULES)
def test_checkpoint_of_mmengine(tmp_path, name, schedule):
    path = train(tmp_path / name, schedule)
    checkpoint = read_file(path)
    expected = torch.load(path, weights_only=False)
    assert checkpoint.keys() == expected.keys() >= {'meta', 'optimizer', 'message_hub'}
    assert checkpoint['meta'] == expected['meta']
    assert checkpoint['param_schedulers'] == expected['param_schedulers']
    if name.startswith('one-cycle'):
        method = OneCycleParamScheduler.__dict__[f'_annealing_{name[10:]}'].__func__
        assert checkpoint['param_schedulers'][0]['anneal_func'] is method
    for key, value in expected['state_dict'].items():
        assert torch.equal(checkpoint['state_dict'][key], value)
    scalars = checkpoint['message_hub']['log_scalars']
    assert (
        scalars['train/loss'].mean() == expected['message_hub']['log_scalars']['train/loss'].mean()
    )
    assert checkpoint['message_hub']['runtime_info']['best_score'] == 0.5


def test_safetensors(tmp_path):
    pytest.importorskip('safetensors')
    weight = torch.randn(4, 3, requires_grad=True)
    state = dict(weight=weight, shared=weight, turned=weight.t(), count=torch.tensor(3))
    path = tmp_path / 'weights.safetensors'
    save_file(state, path)
    read = read_file(path)
    assert read.keys() == state.keys()
    for key, value in state.items():
        assert torch.equal(read[key], value) and read[key].dtype == value.dtype
    assert read_file(path, map_location=torch.device('cpu')).keys() == state.keys()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match='is truncated or not a checkpoint'):
        read_file(path)


def test_what_safetensors_cannot_hold(tmp_path):
    with pytest.raises(ValueError, match=r'must end so, got weights\.pth'):
        save_file({}, 'weights.pth')
    with pytest.raises(TypeError, match='must be Tensor, not int'):
        save_file(dict(weight=torch.ones(1), meta=1), tmp_path / 'weights.safetensors')


def test_safetensors_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'safetensors.torch', None)
    path = tmp_path / 'weights.safetensors'
    path.touch()
    for action in (lambda: read_file(path), lambda: save_file({}, path)):
        with pytest.raises(ImportError, match='safetensors'):
            action()
