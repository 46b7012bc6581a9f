"""Start of distributed runs on machines without a GPU."""

import os
import subprocess
from typing import Dict

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.dist import is_distributed

# Where launchers say what torchrun puts into RANK, WORLD_SIZE and LOCAL_RANK.
LAUNCHERS = {
    'pytorch': ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK'),
}


def first_slurm_host() -> str:
    """The first host of the job, as Slurm's own tool expands the list."""
    nodes = os.environ['SLURM_NODELIST']
    command = ['scontrol', 'show', 'hostname', nodes]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[0]


def process_environment(launcher: str) -> Dict[str, str]:
    """The variables from which torch builds a process group.

    Args:
        launcher (str): ``'pytorch'``, ``'slurm'`` or ``'mpi'``.

    Returns:
        Dict[str, str]: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT.

    Raises:
        SystemExit: If the launcher has not set its variables.
    """
    names = LAUNCHERS[launcher]
    missing = [name for name in names if name not in os.environ]
    if missing:
        raise SystemExit(
            f'--launcher {launcher}: {", ".join(missing)} not set, is it the launcher?'
        )
    env = dict(zip(LAUNCHERS['pytorch'], (os.environ[name] for name in names)))
    address = os.environ.get('MASTER_ADDR')
    if address is None:
        address = first_slurm_host() if launcher == 'slurm' else '127.0.0.1'
    return dict(env, MASTER_ADDR=address, MASTER_PORT=os.environ.get('MASTER_PORT', '29500'))


def start_cpu_processes(cfg: Config) -> None:
    """Join the processes of a distributed run where there is no accelerator.

    MMEngine starts distributed runs on accelerators only: it assigns each
    process a device, and tells its model wrapper so. Where CUDA is available, or
    nothing is distributed, this leaves everything to MMEngine.

    Args:
        cfg (Config): A complete config; gets a ``model_wrapper_cfg``.
    """
    launcher = cfg.get('launcher', 'none')
    if launcher == 'none' or torch.cuda.is_available():
        return
    if not is_distributed():
        os.environ.update(process_environment(launcher))
        dist.init_process_group('gloo')
    wrapper = dict(cfg.get('model_wrapper_cfg') or dict(type='MMDistributedDataParallel'))
    if cfg.get('find_unused_parameters') is not None:
        wrapper.setdefault('find_unused_parameters', cfg.find_unused_parameters)
    cfg.model_wrapper_cfg = dict(wrapper, device_ids=None)
