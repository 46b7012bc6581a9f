"""Records of training runs: one JSON object per line, a line per run."""

import json
import math
import os
import platform
import re
import subprocess
import warnings
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Optional, Union

import torch
from mmengine.config import Config

from mmdia.compat import REQUIREMENTS, installed_version
from mmdia.version import __version__

# Where MMEngine's LocalVisBackend writes the scalars of a run, in a folder for each start that
# is named after its time.
SCALARS = f'{"[0-9]" * 8}_{"[0-9]" * 6}/vis_data/scalars.json'
# How the lines of MMEngine's log files begin.
LOGGED = re.compile(r'^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d(?= - )', re.MULTILINE)
LOG_TIME = '%Y/%m/%d %H:%M:%S'
# What a comparison needs of a record.
NEEDED = ('run', 'config', 'seed', 'seconds', 'best', 'last')


class NoResultError(ValueError):
    """A folder has no run that was validated, such as one that was stopped before."""


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


def training_lines(lines: Iterable[dict]) -> List[dict]:
    """The scalars of the training among all that were logged."""
    return [line for line in lines if 'loss' in line]


def begins_anew(lines: Iterable[dict], before: Iterable[dict]) -> bool:
    """Whether a start began a training, and did not continue one; see :func:`read_starts`.

    Args:
        lines (Iterable[dict]): Its scalars.
        before (Iterable[dict]): Those of the starts before it.
    """
    now, past = training_lines(lines), training_lines(before)
    if not now or not past:
        return False
    left_first_epoch = past[-1].get('epoch', 0) > 1
    return now[0]['step'] <= past[0]['step'] or (left_first_epoch and now[0].get('epoch') == 1)


def read_starts(work_dir: Union[str, Path]) -> Dict[Path, List[dict]]:
    """The starts of the last run in a work dir.

    A run that was resumed has several. A start begins a run anew, and those before it do not
    count, if its first line of the training comes no later than the first one of the run so far,
    or if it is of epoch 1 and the run had come to a later one. A run that was interrupted in
    epoch 1 goes on behind its first line, within that epoch.

    Args:
        work_dir (str | Path): The work dir.

    Returns:
        Dict[Path, List[dict]]: What each logged, by its folder, in their order.
    """
    starts: Dict[Path, List[dict]] = {}
    for path in sorted(Path(work_dir).glob(SCALARS)):
        lines = list(read_lines(path))
        if begins_anew(lines, chain(*starts.values())):
            starts.clear()
        starts[path.parents[1]] = lines
    return starts


def logged_seconds(start: Path) -> float:
    """The time from the first to the last line of the log file of a start; 0 if there is none."""
    log = start / f'{start.name}.log'
    text = log.read_text(encoding='utf-8', errors='replace') if log.is_file() else ''
    times = LOGGED.findall(text) or ['2000/01/01 00:00:00']
    first, last = (datetime.strptime(times[place], LOG_TIME) for place in (0, -1))
    return max((last - first).total_seconds(), 0.0)  # clocks are put back


def read_progress(work_dir: Union[str, Path]) -> dict:
    """How far a run has come, from the scalars that MMEngine wrote.

    Of several runs in one work dir it is the last; see :func:`read_starts`. What a run that was
    resumed did twice counts once.

    Args:
        work_dir (str | Path): The run's work dir.

    Returns:
        dict: ``steps``, epochs or iterations after which the run was validated; ``metrics``,
        by their names, a list each of the values at these steps; ``losses``, the training
        loss that was logged last before each; ``epoch`` and ``iter``, which were logged last;
        ``seconds``, of all starts together, by their log files; 0 where these are missing.
    """
    validations: Dict[int, dict] = {}
    progress = dict(epoch=0, iter=0, seconds=0.0)
    loss = None
    for start, lines in read_starts(work_dir).items():
        progress['seconds'] += logged_seconds(start)
        for scalars in lines:
            step = scalars.pop('step')
            if all(name.startswith('attention/') for name in scalars):
                continue  # of mmdia.AttentionHook
            if 'loss' in scalars:
                loss = scalars['loss']
                progress.update(epoch=scalars.get('epoch', 0), iter=step)
            else:
                validations.setdefault(step, {}).update(scalars, loss=loss)
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
        path (str | Path): The ``.jsonl`` file; created where it is missing. A last line that was
            cut short makes room.
        record (dict): What to add.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    line = f'{json.dumps(record)}\n'.encode()
    with open(path, 'a+b') as file:
        file.seek(0)
        rest = file.read().rpartition(b'\n')[2]
        if rest:
            try:
                json.loads(rest)
                line = b'\n' + line
            except ValueError:
                file.truncate(file.tell() - len(rest))
        file.write(line)


def summarize(progress: dict) -> dict:
    """The part of a record that tells what came out.

    Args:
        progress (dict): What :func:`read_progress` returns.

    Returns:
        dict: ``seconds``, ``steps``, ``losses``, ``metrics``, and the ``best``, which is the
        largest that is a number, and the ``last`` value of each metric.
    """
    metrics = progress['metrics']
    known = {
        name: [value for value in values if value is not None] for name, values in metrics.items()
    }
    return dict(
        seconds=round(progress['seconds'], 1),
        best={
            name: max((value for value in values if not math.isnan(value)), default=math.nan)
            for name, values in known.items()
        },
        last={name: values[-1] for name, values in known.items()},
        steps=progress['steps'],
        losses=progress['losses'],
        metrics=metrics,
    )


def read_dump(path: Union[str, Path]) -> Config:
    """Read a config that MMEngine wrote, without the modules that it imports.

    Args:
        path (str | Path): Its file.

    Raises:
        ValueError: If it cannot be read.
    """
    try:
        return Config.fromfile(path, import_custom_modules=False)
    except Exception as error:  # a config is a program
        raise ValueError(f'config {path} cannot be read: {error}') from error


def name_of_run(work_dir: Path, config: Path) -> str:
    """The name of the config file that a work dir has a copy of, or that of the work dir.

    Args:
        work_dir (Path): The work dir.
        config (Path): What the run was trained with: tells the copy from other files.
    """
    copies = sorted(work_dir.glob('*.py'))
    if len(copies) > 1:
        copies = [copy for copy in copies if copy.read_bytes() == config.read_bytes()]
    return copies[0].stem if copies else work_dir.resolve().name


def warn_of_unfinished(work_dir: Union[str, Path], cfg: Config, last: int) -> None:
    """Warn of a run whose last validation is not at the end that its config says."""
    loop = cfg.get('train_cfg') or {}
    for name, unit in (('max_epochs', 'epochs'), ('max_iters', 'iterations')):
        if last < (loop.get(name) or 0):
            warnings.warn(
                f'{work_dir} was last validated after {last} of {loop[name]} {unit}', stacklevel=3
            )


def read_work_dir(work_dir: Union[str, Path]) -> dict:
    """A record of any run of MMEngine.

    Args:
        work_dir (str | Path): Its work dir, with the logs that MMEngine writes there, and the
            config beside them.

    Returns:
        dict: The record; ``run`` is the name of the config, ``seed`` that of the config or, where
        it has none, the path of the work dir.

    Raises:
        NoResultError: If there is no training, or the run was never validated.
        ValueError: If its logs are damaged, or its config is missing.
    """
    starts = read_starts(work_dir)
    trained = [start for start, lines in starts.items() if training_lines(lines)]
    if not trained:
        raise NoResultError(
            f'{work_dir} is no work dir: it has no training in */vis_data/scalars.json'
        )
    progress = read_progress(work_dir)
    if not progress['steps']:
        raise NoResultError(f'{work_dir} has no validation in its logs')
    config = trained[-1] / 'vis_data' / 'config.py'
    cfg = read_dump(config)
    warn_of_unfinished(work_dir, cfg, progress['steps'][-1])
    seed = (cfg.get('randomness') or {}).get('seed')
    seed = str(Path(work_dir).resolve()) if seed is None else seed  # once, by any path
    run = name_of_run(Path(work_dir), config)
    return dict(run=run, config=str(config), seed=seed, **summarize(progress))
