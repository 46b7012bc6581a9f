"""Kill trainings at random moments: an intact checkpoint stays, and the end is bit-equal.

    python tests/kill_training.py --kills 100

Trainings of a tiny network are killed with SIGKILL or SIGTERM, at any moment or while a
checkpoint is written, and resumed, until they end. The libraries are imported once: every
training is a fork of this process.
"""

import os

os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')  # to be deterministic on GPUs

import argparse
import gc
import random
import runpy
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import List, Optional

import torch
from mmengine.config import Config
from mmengine.runner import runner as runner_module
from mmengine.utils import import_modules_from_strings

from mmdia.cli.work_dir import is_intact, latest_checkpoint

ROOT = Path(__file__).parents[1]
CONFIG = f"""
_base_ = '{ROOT}/configs/demo/dia-resnet18_digits.py'
model = dict(
    backbone=dict(base_channels=4, stem_channels=4, drop_path_rate=0.2), head=dict(in_channels=32)
)
train_dataloader = dict(batch_size=8, num_workers=WORKERS, dataset=dict(indices=38))
val_dataloader = dict(batch_size=4, dataset=dict(indices=7))
custom_hooks = [dict(type='EMAHook')]
default_hooks = dict(
    logger=dict(interval=1),
    checkpoint=dict(max_keep_ckpts=KEEP, save_best='auto', rule='greater'),
)
randomness = dict(seed=3, deterministic=True)
"""
EPOCHS = 'train_cfg = dict(max_epochs=4, val_interval=1)'
ITERATIONS = """
train_cfg = dict(_delete_=True, by_epoch=False, max_iters=20, val_interval=5)
param_scheduler = dict(by_epoch=False, convert_to_iter_based=False, end=20)
log_processor = dict(by_epoch=False)
default_hooks['checkpoint'].update(by_epoch=False, interval=4)
"""


def prepare() -> None:
    """Import what a training needs, and leave out what takes it time and does not matter."""
    parts = ('datasets', 'engine', 'evaluation', 'models', 'visualization')
    modules = [f'mmpretrain.{part}' for part in parts]
    modules += ['mmdia.datasets', 'mmdia.engine', 'mmdia.models', 'mmdia.visualization']
    import_modules_from_strings([*modules, 'sklearn.datasets', 'sklearn.model_selection'])
    runner_module.collect_env = dict
    Config.pretty_text = property(str)
    torch.set_num_threads(1)
    gc.freeze()


class Training:
    """A training that can be started, killed and resumed.

    Args:
        folder (Path): Folder of the config, the log and the work dir.
        keep (int): Number of checkpoints to keep.
        by_epoch (bool): Whether it counts epochs, or iterations.
        workers (int): Number of workers that load its data.
    """

    def __init__(self, folder: Path, keep: int, by_epoch: bool, workers: int) -> None:
        self.folder, self.work_dir = folder, folder / 'run'
        folder.mkdir()
        text = CONFIG.replace('KEEP', str(keep)).replace('WORKERS', str(workers))
        (folder / 'config.py').write_text(text + (EPOCHS if by_epoch else ITERATIONS))
        self.last = 'epoch_4.pth' if by_epoch else 'iter_20.pth'

    def start(self, *options: str) -> int:
        """Start it in a process of its own, and return its number."""
        tool = ROOT / 'tools' / 'train.py'
        child = os.fork()
        if child:
            return child
        os.setpgid(0, 0)
        log = os.open(self.folder / 'log.txt', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        config = str(self.folder / 'config.py')
        sys.argv = [str(tool), config, '--work-dir', str(self.work_dir), *options]
        code = 1
        try:
            runpy.run_path(str(tool), run_name='__main__')
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else print(error.code) or 1
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stdout.flush()
            os._exit(code)

    def run(self, *options: str) -> None:
        """Let it come to its end."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.start(*options), 0)[1])
        assert code == 0, f'exit code {code}:\n{(self.folder / "log.txt").read_text()[-3000:]}'

    def is_saving(self) -> bool:
        """Whether a checkpoint is being written."""
        return any(self.work_dir.glob('*.mmdia-part'))

    def weights(self) -> dict:
        """What the last checkpoint holds."""
        content = torch.load(self.work_dir / self.last, weights_only=False, map_location='cpu')
        names = ('state_dict', 'optimizer', 'param_schedulers', 'ema_state_dict')
        return {name: content[name] for name in names}

    def best(self) -> List[str]:
        """The names of the best checkpoints."""
        return sorted(path.name for path in self.work_dir.glob('best_*.pth'))


def wait_for_moment(training: Training, child: int, seconds: float, saving: bool) -> None:
    """Wait until a random moment of a process, or of one of its writes, or its end."""
    end = time.monotonic() + random.uniform(0, seconds)
    while time.monotonic() < end and has_not_ended(child):
        time.sleep(1e-3)
    while saving and not training.is_saving() and has_not_ended(child):
        time.sleep(1e-4)
    time.sleep(random.uniform(0, 5e-3))


def has_not_ended(child: int) -> bool:
    """Whether a process, which is not waited for yet, still runs."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def kill(training: Training, seconds: float, *options: str) -> Optional[str]:
    """Start a training and kill it, check what it left, and say how it was killed."""
    before = list(training.work_dir.glob('*.pth'))
    child = training.start(*options)
    saving, number = random.random() < 0.5, random.choice((signal.SIGKILL, signal.SIGTERM))
    wait_for_moment(training, child, seconds, saving)
    in_write = training.is_saving()
    os.kill(child, number)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    # A training may end before the signal, or get it before it listens.
    allowed = (0, -number) if number == signal.SIGKILL else (0, -number, 128 + number)
    assert code in allowed, (
        f'exit code {code}:\n{(training.folder / "log.txt").read_text()[-3000:]}'
    )

    after = list(training.work_dir.glob('*.pth'))
    damaged = [path for path in after if not is_intact(path)]
    assert not damaged, f'{damaged} are damaged'
    resumable = latest_checkpoint(str(training.work_dir)) if training.work_dir.is_dir() else None
    assert resumable or not before, f'of {before} nothing is left'
    assert code != 128 + number or Path(resumable).name == 'interrupted.pth'
    if code == 0:
        return None
    return f'{number.name} {"in a write" if in_write else "elsewhere"}'


def main() -> None:
    """Kill, resume and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--kills', type=int, default=100)
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    random.seed(args.seed)
    prepare()
    folder = Path(tempfile.mkdtemp(prefix='kill_training_'))
    expected, seconds, killed, runs = {}, {}, Counter(), 0
    while killed.total() < args.kills:
        kind = dict(by_epoch=random.random() < 0.5, workers=random.choice((0, 0, 1)))
        key = tuple(kind.values())
        if key not in expected:
            start = time.monotonic()
            whole = Training(folder / f'whole_{len(expected)}', keep=1, **kind)
            whole.run()
            seconds[key] = time.monotonic() - start
            expected[key] = (whole.weights(), whole.best())
        keep = random.choice((1, 2, 3))
        training = Training(folder / f'run_{runs}', keep, **kind)
        options = ()
        for _ in range(random.choice((1, 2, 3, 4))):
            how = kill(training, 0.6 * seconds[key], *options)
            options = ('--resume',)
            if how is None:
                break
            killed[f'max_keep_ckpts={keep}: {how}'] += 1
        training.run(*options)
        weights, best = expected[key]
        assert_equal(training.weights(), weights)
        assert training.best() == best, f'best checkpoint {training.best()}, expected {best}'
        left = [path.name for path in training.work_dir.glob('*.pth')]
        assert len([name for name in left if name[:4] in ('epoc', 'iter')]) == keep, left
        shutil.rmtree(training.folder)
        runs += 1
        print(f'{killed.total()} kills, {runs} runs', flush=True)
    shutil.rmtree(folder)
    for how, count in sorted(killed.items()):
        print(f'{count:4}  {how}')
    print(f'all {runs} runs ended bit-equal, with an intact checkpoint at any time')


def assert_equal(found: object, expected: object, name: str = '') -> None:
    """Compare what checkpoints hold, bit by bit."""
    if isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected), f'{name} differs'
    elif isinstance(expected, (dict, list, tuple)):
        assert len(found) == len(expected), f'{name} differs'
        for key in expected if isinstance(expected, dict) else range(len(expected)):
            assert_equal(found[key], expected[key], f'{name}.{key}')
    else:
        assert found == expected, f'{name} differs'


if __name__ == '__main__':
    main()
