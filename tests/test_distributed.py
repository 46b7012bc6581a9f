"""Several processes train what one would, started by every launcher, on a CPU."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.config import Config
from torch.distributed.elastic.utils.distributed import get_free_port

from mmdia.cli.launch import process_environment, start_cpu_processes

from .helpers import INTERACTIONS, slim_resnet

ROOT = Path(__file__).parents[1]
PROCESSES = 2
COMPARED = ('mmdia.DIALSTM', 'mmdia.DLALight', 'mmdia.RLA', 'mmdia.MRLABase')
CASES = [(interaction, with_cp) for interaction in COMPARED for with_cp in (False, True)]

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason='these are runs without a GPU')


def build(interaction, with_cp):
    torch.manual_seed(0)
    model = slim_resnet(interaction, with_cp=with_cp, zero_init_residual=False)
    # In evaluation mode norms do not depend on the batch, which processes share.
    return model.double().eval()


def train(model, parts):
    """Three steps, on a part of a common batch."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    for step in range(3):
        batch = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(step)).double()
        optimizer.zero_grad()
        model(batch[parts])[0].square().mean().backward()
        optimizer.step()


def work(rank, port, folder):
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=port)
    torch.set_num_threads(1)
    dist.init_process_group('gloo', rank=rank, world_size=PROCESSES)
    for index, case in enumerate(CASES):
        model = build(*case)
        wrapped = torch.nn.parallel.DistributedDataParallel(model)
        train(wrapped, slice(rank, None, PROCESSES))
        torch.save(model.state_dict(), folder / f'{index}_{rank}.pth')
    # A parameter without gradient makes the next forward fail.
    for interaction in INTERACTIONS:
        model = build(interaction, with_cp=True).train()
        train(torch.nn.parallel.DistributedDataParallel(model), slice(rank, None, PROCESSES))
    (folder / f'done_{rank}').touch()
    dist.destroy_process_group()


def test_processes_train_what_one_does(tmp_path):
    mp.spawn(work, args=(str(get_free_port()), tmp_path), nprocs=PROCESSES)
    assert all((tmp_path / f'done_{rank}').exists() for rank in range(PROCESSES))
    for index, case in enumerate(CASES):
        model = build(*case)
        train(model, slice(None))
        for rank in range(PROCESSES):
            state = torch.load(tmp_path / f'{index}_{rank}.pth', weights_only=True)
            for name, value in model.state_dict().items():
                torch.testing.assert_close(state[name], value, rtol=0, atol=1e-6)


@pytest.fixture
def config(tmp_path):
    """A small run whose data do not divide evenly among batches and processes."""
    path = tmp_path / 'config.py'
    path.write_text(
        f"""
_base_ = '{ROOT}/configs/demo/dia-resnet18_digits.py'
train_dataloader = dict(batch_size=8, dataset=dict(indices=21))
val_dataloader = dict(batch_size=2, dataset=dict(indices=7))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=1)
default_hooks = dict(logger=dict(interval=1))
# Validation and checkpoint then have the same running statistics, those of all processes.
custom_hooks = [dict(type='SyncBuffersHook')]
"""
    )
    return path


def start(*command, **env):
    env = dict(os.environ, PYTHON=sys.executable, OMP_NUM_THREADS='1', **env)
    command = [str(part) for part in command]
    return subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(*processes):
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    for process, output in zip(processes, outputs):
        assert process.returncode == 0, output[-3000:]
    return outputs


def test_training_on_two_machines_and_test_on_one(config, tmp_path):
    train_tool, work_dir = ROOT / 'tools' / 'dist_train.sh', tmp_path / 'run'
    port = str(get_free_port())
    command = (train_tool, config, 1, '--work-dir', work_dir)
    output, _ = finish(*(start(*command, NNODES='2', NODE_RANK=str(i), PORT=port) for i in (0, 1)))
    # 21 images are 11 for each process, two batches of 8.
    assert 'Epoch(train) [1][2/2]' in output and 'accuracy/top1' in output
    test_tool = ROOT / 'tools' / 'dist_test.sh'
    checkpoint = work_dir / 'epoch_1.pth'
    command = (test_tool, config, checkpoint, 2, '--work-dir', tmp_path / 'test')
    (tested,) = finish(start(*command, PORT=str(get_free_port())))
    accuracies = [re.findall(r'accuracy/top1: (\S+)', text)[-1] for text in (output, tested)]
    assert accuracies[0] == accuracies[1]


# 7 images are 4 for each process, two batches of 2.
DETECTION = f"""
_base_ = '{ROOT}/configs/demo/faster-rcnn_dia-r18_fpn_shapes.py'
train_dataloader = dict(batch_size=2, dataset=dict(num_images=7))
val_dataloader = dict(batch_size=2, dataset=dict(num_images=3))
train_cfg = dict(max_epochs=1, val_interval=1)
default_hooks = dict(logger=dict(interval=1))
"""


def test_slurm_and_detection(config, tmp_path):
    config.write_text(DETECTION)
    srun = tmp_path / 'srun'
    # Starts the tasks as Slurm does, on this machine.
    srun.write_text(
        """#!/usr/bin/env bash
while [[ $1 == -* ]]; do
    [[ $1 == -p ]] && shift
    [[ $1 == --ntasks=* ]] && tasks=${1#*=}
    shift
done
for i in $(seq 0 $((tasks - 1))); do
    SLURM_PROCID=$i SLURM_LOCALID=$i SLURM_NTASKS=$tasks "$@" &
    pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid" || exit 1; done
"""
    )
    srun.chmod(0o755)
    tool = ROOT / 'tools' / 'slurm_train.sh'
    process = start(
        *(tool, 'partition', 'job', config, tmp_path / 'run'),
        PATH=f'{tmp_path}:{os.environ["PATH"]}',
        GPUS='2',
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=str(get_free_port()),
    )
    (output,) = finish(process)
    assert 'Epoch(train) [1][2/2]' in output and (tmp_path / 'run' / 'epoch_1.pth').exists()


@pytest.mark.parametrize(
    ('tool', 'arguments'),
    (('dist_train', 1), ('dist_test', 2), ('slurm_train', 3), ('slurm_test', 3)),
)
def test_too_few_arguments(tool, arguments):
    command = [str(ROOT / 'tools' / f'{tool}.sh'), *['x'] * arguments]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2 and 'Usage: ' in result.stderr and tool in result.stderr


@pytest.mark.parametrize(
    ('launcher', 'prefix', 'names'),
    (
        ('pytorch', '', ('RANK', 'WORLD_SIZE', 'LOCAL_RANK')),
        ('slurm', 'SLURM_', ('PROCID', 'NTASKS', 'LOCALID')),
        ('mpi', 'OMPI_COMM_WORLD_', ('RANK', 'SIZE', 'LOCAL_RANK')),
    ),
)
def test_environment_of_launchers(launcher, prefix, names, monkeypatch):
    for name in names:
        monkeypatch.delenv(prefix + name, raising=False)
    monkeypatch.setenv('MASTER_ADDR', 'host')
    monkeypatch.delenv('MASTER_PORT', raising=False)
    with pytest.raises(SystemExit, match=f'--launcher {launcher}: {prefix}{names[0]}, .* not set'):
        process_environment(launcher)
    for i, name in enumerate(names):
        monkeypatch.setenv(prefix + name, str(i))
    assert process_environment(launcher) == dict(
        RANK='0', WORLD_SIZE='1', LOCAL_RANK='2', MASTER_ADDR='host', MASTER_PORT='29500'
    )


@pytest.mark.parametrize(
    ('variables', 'message'),
    (
        ({}, 'SLURM_NODELIST not set, is it the launcher'),
        (dict(SLURM_NODELIST='a[1-2]', PATH=''), 'scontrol show hostname .* set MASTER_ADDR to it'),
        (dict(SLURM_PROCID='x', MASTER_ADDR='a'), 'SLURM_PROCID not set to a number'),
    ),
)
def test_slurm_without_its_variables(variables, message, monkeypatch):
    for name in ('MASTER_ADDR', 'SLURM_NODELIST'):
        monkeypatch.delenv(name, raising=False)
    usual = dict(SLURM_PROCID='0', SLURM_NTASKS='1', SLURM_LOCALID='0')
    for name, value in (usual | variables).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match=f'^--launcher slurm: {message}'):
        process_environment('slurm')


def test_slurm_with_an_address_alone(monkeypatch):
    """On GPUs, MMEngine reads the list of nodes that an address makes superfluous."""
    environment = {**os.environ, 'MASTER_ADDR': 'host'}
    environment.pop('SLURM_NODELIST', None)
    environment.update(SLURM_PROCID='0', SLURM_NTASKS='1', SLURM_LOCALID='0')
    monkeypatch.setattr(os, 'environ', environment)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    start_cpu_processes(Config(dict(launcher='slurm')))
    assert os.environ['SLURM_NODELIST'] == os.environ['MASTER_ADDR'] == 'host'


def test_single_process_is_left_alone():
    cfg = Config(dict(launcher='none'))
    start_cpu_processes(cfg)
    assert 'model_wrapper_cfg' not in cfg and not dist.is_initialized()
