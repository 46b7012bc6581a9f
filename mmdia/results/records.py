"""Records of training runs: one JSON object per line, a line per run."""

import json
import os
import platform
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Union

import torch
from mmengine.config import Config

from mmdia.compat import REQUIREMENTS, installed_version
from mmdia.version import __version__

# Where MMEngine's LocalVisBackend writes the scalars of a run, in a folder for each start.
SCALARS = '*/vis_data/scalars.json'
STARTED = '%Y%m%d_%H%M%S'
# What a comparison needs of a record.
NEEDED = ('run', 'config', 'seed', 'seconds', 'best', 'last')


def read_lines(path: Path) -> Iterator[dict]:
    """Read a file of JSON objects, one per line; a last line may be cut short.

    Raises:
        ValueError: If another line is not JSON.
    """
    lines = path.read_text(encoding='utf-8').splitlines()
    for number, line in enumerate(lines, 1):
        try:
            content = json.loads(line)
            if not isinstance(content, dict):
                raise ValueError(f'must be an object, got {line[:40]}')
        except ValueError as error:
            if number < len(lines):
                raise ValueError(f'{path}, line {number}: {error}') from error
            return
        yield content


def read_progress(work_dir: Union[str, Path]) -> dict:
    """How far a run has come, from the scalars that MMEngine wrote.

    A run that was resumed has a file for each start; what was done twice counts once.

    Args:
        work_dir (str | Path): The run's work dir.

    Returns:
        dict: ``steps``, epochs or iterations after which the run was validated; ``metrics``,
        by their names, a list each of the values at these steps; ``losses``, the training
        loss that was logged last before each; ``epoch`` and ``iter``, which were logged last;
        ``seconds``, of all starts together.
    """
    validations: Dict[int, dict] = {}
    progress = dict(epoch=0, iter=0, seconds=0.0)
    for path in sorted(Path(work_dir).glob(SCALARS)):
        started = datetime.strptime(path.parents[1].name, STARTED).timestamp()
        progress['seconds'] += max(path.stat().st_mtime - started, 0)
        loss = None
        for scalars in read_lines(path):
            step = scalars.pop('step')
            if all(name.startswith('attention/') for name in scalars):
                continue  # of mmdia.AttentionHook
            if 'loss' in scalars:
                loss = scalars['loss']
                progress.update(epoch=scalars.get('epoch', 0), iter=step)
            else:
                validations[step] = dict(scalars, loss=loss)
    steps = sorted(validations)
    names = {name for step in steps for name in validations[step]} - {'data_time', 'time', 'loss'}
    values = {
        name: [validations[step].get(name) for step in steps] for name in [*sorted(names), 'loss']
    }
    return dict(progress, steps=steps, losses=values.pop('loss'), metrics=values)


def device_name(device: str) -> str:
    """The model of the CPU or GPU.

    Args:
        device (str): ``'cpu'`` or ``'cuda'``.
    """
    if device == 'cuda':
        return torch.cuda.get_device_name()
    info = Path('/proc/cpuinfo')
    lines = info.read_text(encoding='utf-8').splitlines() if info.is_file() else []
    models = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return models[0] if models else platform.machine()


def git_revision() -> Optional[str]:
    """The revision of the source tree, with ``+`` where it was changed; None outside of one."""
    command = ['git', 'describe', '--always', '--dirty=+', '--exclude=*']
    folder = Path(__file__).parents[2]
    if not (folder / '.git').exists():  # installed, maybe below a repository of something else
        return None
    try:
        return subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def circumstances() -> dict:
    """What a result may depend on beside its config: code, hardware and libraries."""
    versions: Dict[str, Optional[str]] = {'python': platform.python_version(), 'mmdia': __version__}
    versions.update((each.module, installed_version(each)) for each in REQUIREMENTS)
    return dict(
        revision=git_revision(),
        date=f'{datetime.now():%Y-%m-%d}',
        hardware=device_name('cuda' if torch.cuda.is_available() else 'cpu'),
        threads=int(os.environ.get('OMP_NUM_THREADS', torch.get_num_threads())),
        versions=versions,
    )


def read_records(path: Union[str, Path]) -> List[dict]:
    """All records of a file, or of a folder of files.

    Args:
        path (str | Path): The file, or the folder of ``*.jsonl`` files.

    Raises:
        ValueError: If a file holds something else.
    """
    path, records = Path(path), []
    for file in [path] if path.is_file() else sorted(path.glob('*.jsonl')):
        for number, record in enumerate(read_lines(file), 1):
            missing = [key for key in NEEDED if key not in record]
            if missing:
                raise ValueError(f'{file}, line {number}: no {", ".join(missing)}')
            records.append(record)
    return records


def append_record(path: Union[str, Path], record: dict) -> None:
    """Add a record to a file, in one write, so that several processes may do so.

    Args:
        path (str | Path): The ``.jsonl`` file; created where it is missing.
        record (dict): What to add.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, 'a', encoding='utf-8') as file:
        file.write(json.dumps(record) + '\n')


def summarize(progress: dict) -> dict:
    """The part of a record that tells what came out.

    Args:
        progress (dict): What :func:`read_progress` returns.

    Returns:
        dict: ``seconds``, ``steps``, ``losses``, ``metrics``, and the ``best`` and the ``last``
        value of each metric.
    """
    metrics = progress['metrics']
    known = {
        name: [value for value in values if value is not None] for name, values in metrics.items()
    }
    return dict(
        seconds=round(progress['seconds'], 1),
        best={name: max(values) for name, values in known.items()},
        last={name: values[-1] for name, values in known.items()},
        steps=progress['steps'],
        losses=progress['losses'],
        metrics=metrics,
    )


def read_work_dir(work_dir: Union[str, Path]) -> dict:
    """A record of any run of MMEngine.

    Args:
        work_dir (str | Path): Its work dir, with the config that MMEngine dumps there.

    Returns:
        dict: The record; ``run`` is the name of the config, ``seed`` that of the config or, where
        it has none, the path of the work dir.

    Raises:
        ValueError: If there is no config, or the run was never validated.
    """
    configs = sorted(Path(work_dir).glob('*.py'))
    if not configs:
        raise ValueError(f'{work_dir} is no work dir: it has no config')
    progress = read_progress(work_dir)
    if not progress['steps']:
        raise ValueError(f'{work_dir} has no validation in its logs')
    cfg = Config.fromfile(configs[-1])
    seed = (cfg.get('randomness') or {}).get('seed')
    seed = str(work_dir) if seed is None else seed
    return dict(run=configs[-1].stem, config=str(configs[-1]), seed=seed, **summarize(progress))
