"""Training runs of rows, a process or a group of processes each."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from mmengine.config import Config
from torch.distributed.elastic.utils.distributed import get_free_port

from .records import circumstances, read_progress, summarize
from .rows import Row, row_config
from .schedule import schedule_length, shorten

# Where the package keeps its tools, installed or not.
TOOLS = Path(__file__).parents[1] / '.mim' / 'tools'
OUTPUT = 'output.txt'


class Settings(NamedTuple):
    """What runs have in common.

    Args:
        epochs (int, optional): How long to train in place of what the config
            says; see :func:`~mmdia.results.schedule.shorten`.
        scale (float, optional): The factor of the length instead.
        amp (bool): Whether to compute in mixed precision. Defaults to False.
        channels_last (bool): Whether to keep channels innermost in memory.
            Defaults to False.
        data_root (str): Folder of the data sets, which the configs call
            ``data``. Defaults to ``'data'``.
        launcher (str): ``'none'``, ``'pytorch'`` or ``'slurm'``. Defaults to
            ``'none'``.
        gpus (int): Number of processes of a run. Defaults to 1.
        partition (str): Partition of Slurm. Defaults to ``''``.
    """

    epochs: Optional[int] = None
    scale: Optional[float] = None
    amp: bool = False
    channels_last: bool = False
    data_root: str = 'data'
    launcher: str = 'none'
    gpus: int = 1
    partition: str = ''


def move_data(value: Any, root: str) -> Any:
    """Replace the leading folder ``data`` of all paths in a config.

    Args:
        value (Any): The config, or a part of it.
        root (str): What takes its place.
    """
    if isinstance(value, dict):
        return type(value)({key: move_data(part, root) for key, part in value.items()})
    if isinstance(value, (list, tuple)):
        return type(value)(move_data(part, root) for part in value)
    if isinstance(value, str) and (value == 'data' or value.startswith('data/')):
        return str(Path(root, *Path(value).parts[1:])) + '/' * value.endswith('/')
    return value


def last_line(log: Path) -> str:
    """The last line of a command's output that is not empty."""
    lines = log.read_text(encoding='utf-8', errors='replace').split('\n')
    return next((line.strip('= ') for line in reversed(lines) if line.strip()), 'no output')


class Run:
    """One training of a row.

    Args:
        row (Row): The row.
        seed (int): Seed of the training.
        settings (Settings): What it has in common with others.
        root (Path): Folder of the work dirs of all runs.

    Attributes:
        cfg (Config): The whole config.
        identity (dict): What tells the run from others.
        work_dir (Path): Where it writes to.
    """

    def __init__(self, row: Row, seed: int, settings: Settings, root: Path) -> None:
        self.row, self.settings = row, settings
        self.cfg = row_config(row)
        full_length = schedule_length(self.cfg)
        shorten(self.cfg, settings.epochs, settings.scale)
        self.length = schedule_length(self.cfg)
        self.cfg.randomness = dict(seed=seed)
        self.cfg.default_hooks.checkpoint.setdefault('max_keep_ckpts', 1)
        switches = dict(amp=settings.amp, channels_last=settings.channels_last)
        self.identity = dict(
            run=row.run,
            config=row.config,
            options=row.options,
            seed=seed,
            length=self.length,
            full_length=full_length,
            processes=settings.gpus,
            **switches,
        )
        names = [f'{self.length}of{full_length}', *(name for name in switches if switches[name])]
        names += [f'{settings.gpus}processes'] * (settings.gpus > 1)
        self.work_dir = root / row.run / '-'.join([*names, f'seed{seed}'])
        self.config_file = self.work_dir.with_name(f'{self.work_dir.name}.py')

    def __str__(self) -> str:
        return f'{self.row.run} {self.work_dir.name}'

    def is_recorded(self, records: Sequence[dict]) -> bool:
        """Whether one of the records is that of this run."""
        return any(self.identity.items() <= record.items() for record in records)

    def command(self) -> List[str]:
        """The command that trains, from its beginning or from where it stopped."""
        config, settings = self.config_file, self.settings
        options = ['--resume', *['--amp'] * settings.amp]
        options += ['--channels-last'] * settings.channels_last
        to = ['--work-dir', str(self.work_dir)]
        if settings.launcher == 'pytorch':
            script = ['bash', str(TOOLS / 'dist_train.sh')]
            return [*script, str(config), str(settings.gpus), *to, *options]
        if settings.launcher == 'slurm':
            script = ['bash', str(TOOLS / 'slurm_train.sh'), settings.partition, self.row.run]
            return [*script, str(config), str(self.work_dir), *options]
        return [sys.executable, str(TOOLS / 'train.py'), str(config), *to, *options]

    def environment(self, gpus: Sequence[str] = ()) -> Dict[str, str]:
        """The environment of the command.

        Args:
            gpus (Sequence[str]): The GPUs that it may use, all if there are none.
        """
        env = dict(os.environ, PYTHON=sys.executable)
        env.setdefault('PORT', str(get_free_port()))
        env.setdefault('GPUS', str(self.settings.gpus))
        env.setdefault('GPUS_PER_NODE', str(min(self.settings.gpus, 8)))
        if gpus:
            env['CUDA_VISIBLE_DEVICES'] = ','.join(gpus)
        return env

    def start(self, gpus: Sequence[str] = ()) -> subprocess.Popen:
        """Start the training, or go on with it. Its output goes to ``output.txt`` of its work dir.

        Args:
            gpus (Sequence[str]): The GPUs that it may use, all if there are none.
        """
        self.work_dir.mkdir(parents=True, exist_ok=True)
        Config(move_data(self.cfg.to_dict(), self.settings.data_root)).dump(self.config_file)
        with open(self.work_dir / OUTPUT, 'a', encoding='utf-8') as output:
            return subprocess.Popen(
                self.command(),
                env=self.environment(gpus),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C in a terminal reaches the whole group; a second signal saves nothing.
                start_new_session=True,
            )

    def done(self) -> float:
        """The part of the training that is behind, from 0 to 1."""
        progress = read_progress(self.work_dir)
        steps = progress['iter']
        if 'max_epochs' in self.cfg.train_cfg:
            steps = max(progress['epoch'] - 1, 0)
        return min(steps / self.length, 1.0)

    def record(self) -> dict:
        """The record of the finished run."""
        return dict(self.identity, **circumstances(), **summarize(read_progress(self.work_dir)))
