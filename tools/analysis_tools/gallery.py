"""Train small networks on digits, and draw the pictures of docs/analysis.md with them.

Takes about ten minutes of one CPU core. Networks that are trained already are not trained again.
"""

import subprocess
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import List

import torch
from mmengine.config import Config
from mmengine.runner import Runner

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(__file__).parent
DIGITS = ROOT / 'configs' / 'demo' / 'dia-resnet18_digits.py'
SE = dict(type='mmdia.BlockAttention', attention=dict(type='mmdia.SE', ratio=4))
DIA = dict(type='mmdia.DIALSTM', ratio=4)
RLA = dict(type='mmdia.RLA', context_channels=16, hidden_channels=8, ratio=2)
MRLA = dict(type='mmdia.MRLABase', head_channels=8)
DLA = dict(type='mmdia.DLABase', head_channels=8, ratio=4)
NO_SKIP = dict(skip_connections=False)
NETWORKS = {
    'plain': (32, None, {}),
    'SE': (32, SE, {}),
    'DIA': (32, DIA, {}),
    'RLA': (32, RLA, {}),
    'MRLA-B': (56, MRLA, {}),
    'DLA-B': (56, DLA, {}),
    'plain-no-skip': (32, None, NO_SKIP),
    'SE-no-skip': (32, SE, NO_SKIP),
    'DIA-no-skip': (32, DIA, NO_SKIP),
}


def parse_args() -> Namespace:
    """Read the command line."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--work-dir', type=Path, default=Path('work_dirs', 'gallery'), help='folder of the networks'
    )
    parser.add_argument(
        '--out-dir', type=Path, default=ROOT / 'docs' / 'analysis', help='folder of the pictures'
    )
    return parser.parse_args()


def train(name: str, work_dir: Path) -> None:
    """Train a network, unless it is trained already."""
    depth, interaction, options = NETWORKS[name]
    cfg = Config.fromfile(DIGITS)
    cfg.model.backbone = dict(
        type='mmdia.CIFARResNet',
        depth=depth,
        block='basic',
        base_channels=8,
        interaction=interaction,
        **options,
    )
    cfg.model.head.in_channels = 32
    resize = dict(type='Resize', scale=16, interpolation='area')  # the digits have 8x8 pixels
    crop = dict(type='RandomCrop', crop_size=16, padding=1)
    cfg.train_dataloader.dataset.pipeline = [resize, crop, dict(type='PackInputs')]
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.pipeline = [resize, dict(type='PackInputs')]
    cfg.work_dir = str(work_dir / name)
    cfg.randomness = dict(seed=0)
    cfg.log_level = 'WARNING'
    if not Path(cfg.work_dir, 'last_checkpoint').exists():
        print(f'training {name}', flush=True)
        Runner.from_cfg(cfg).train()
        cfg.dump(work_dir / name / f'{name}.py')


def model(name: str, work_dir: Path) -> List[str]:
    """The config and the last checkpoint of a network, as the tools take them."""
    folder = work_dir / name
    return [str(folder / f'{name}.py'), (folder / 'last_checkpoint').read_text().strip()]


def draw(work_dir: Path, out_dir: Path) -> None:
    """Draw all pictures."""

    def run(tool: str, names: List[str], out: str, *options: str, what: str = '') -> None:
        first, *others = (model(name, work_dir) for name in names)
        beside = [part for pair in others for part in ('--beside', *pair)]
        command = [sys.executable, str(TOOLS / tool), *filter(None, [what]), *first, *beside]
        labels = [
            '--labels',
            *(name.replace('-', ' ') if 'skip' in name else name for name in names),
        ]
        subprocess.run([*command, *labels, *options, '--out', str(out_dir / out)], check=True)

    everything = ['--max-images', '0']
    run('attention.py', ['RLA'], 'curve.svg', *everything, what='curve')
    by_class = ['--by', 'class', '--normalize', *everything]
    run('attention.py', ['RLA'], 'curve-by-class.svg', *by_class, what='curve')
    stage = ['--stages', 'layer3', *everything]
    run('attention.py', ['MRLA-B', 'DLA-B'], 'scores.svg', *stage, what='scores')
    trees = ['--split', 'train', '--max-images', '1000', '--trees', '50']
    run('attention.py', ['DIA', 'SE'], 'integration.svg', *trees, what='integration')
    names = ['plain', 'SE', 'DIA']
    run('gradients.py', names, 'gradients.svg', '--max-images', '512')
    names = [f'{name}-no-skip' for name in names]
    run('gradients.py', names, 'gradients-no-skip.svg', '--max-images', '512')


def main() -> None:
    """Train and draw."""
    args = parse_args()
    torch.set_num_threads(1)
    for name in NETWORKS:
        train(name, args.work_dir)
    draw(args.work_dir, args.out_dir)


if __name__ == '__main__':
    main()
