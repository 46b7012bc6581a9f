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


def launched_process(launcher: str) -> Dict[str, str]:
    """What a launcher says of this process.

    Args:
        launcher (str): ``'pytorch'``, ``'slurm'`` or ``'mpi'``.

    Returns:
        Dict[str, str]: RANK, WORLD_SIZE and LOCAL_RANK.

    Raises:
        SystemExit: If the launcher has not set its variables, or not to numbers.
    """
    names = LAUNCHERS[launcher]
    missing = [name for name in names if not os.environ.get(name, '').isdecimal()]
    if missing:
        raise SystemExit(
            f'--launcher {launcher}: {", ".join(missing)} not set to a number, is it the launcher?'
        )
    return {ours: os.environ[name] for ours, name in zip(LAUNCHERS['pytorch'], names)}


def is_first_process(launcher: str) -> bool:
    """Whether this is the process that writes, before the processes have met.

    Args:
        launcher (str): ``'none'`` or one of :func:`launched_process`.
    """
    return launcher == 'none' or launched_process(launcher)['RANK'] == '0'


def first_slurm_host() -> str:
    """The first host of the job, as Slurm's own tool expands the list.

    Raises:
        SystemExit: If Slurm does not tell.
    """
    nodes = os.environ.get('SLURM_NODELIST')
    if nodes is None:
        raise SystemExit('--launcher slurm: SLURM_NODELIST not set, is it the launcher?')
    command = ['scontrol', 'show', 'hostname', nodes]
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return done.stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError) as error:
        raise SystemExit(
            f'--launcher slurm: {" ".join(command)} does not give the first host ({error}); '
            'set MASTER_ADDR to it'
        ) from error


def process_environment(launcher: str) -> Dict[str, str]:
    """The variables from which torch builds a process group.

    Args:
        launcher (str): ``'pytorch'``, ``'slurm'`` or ``'mpi'``.

    Returns:
        Dict[str, str]: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT.

    Raises:
        SystemExit: If the launcher has not set its variables, or Slurm does not tell the host.
    """
    process, address = launched_process(launcher), os.environ.get('MASTER_ADDR')
    if address is None:
        address = first_slurm_host() if launcher == 'slurm' else '127.0.0.1'
    port = os.environ.get('MASTER_PORT', '29500')
    return dict(process, MASTER_ADDR=address, MASTER_PORT=port)


def start_cpu_processes(cfg: Config) -> None:
    """Join the processes of a distributed run where there is no accelerator.

    MMEngine starts distributed runs on accelerators only: it assigns each
    process a device, and tells its model wrapper so. Where CUDA is available, this
    checks the launcher and leaves the rest to MMEngine.

    Args:
        cfg (Config): A complete config; gets a ``model_wrapper_cfg``.
    """
    launcher = cfg.get('launcher', 'none')
    if launcher == 'none':
        return
    if not is_distributed():
        os.environ.update(process_environment(launcher))
        if launcher == 'slurm':
            # MMEngine reads it, but does not use it where the address is known.
            os.environ.setdefault('SLURM_NODELIST', os.environ['MASTER_ADDR'])
    if torch.cuda.is_available():
        return
    if not is_distributed():
        dist.init_process_group('gloo')
    wrapper = dict(cfg.get('model_wrapper_cfg') or dict(type='MMDistributedDataParallel'))
    if cfg.get('find_unused_parameters') is not None:
        wrapper.setdefault('find_unused_parameters', cfg.find_unused_parameters)
    cfg.model_wrapper_cfg = dict(wrapper, device_ids=None)
