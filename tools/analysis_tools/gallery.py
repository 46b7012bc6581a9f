"""Train small networks on digits, and draw the pictures of docs/analysis.md with them.

Takes about ten minutes of one CPU core. Networks that are trained already are not trained again.
"""

import runpy
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import List

import mmcv
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmdia.cli.outputs import user_path
from mmdia.datasets import DigitsDataset

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(__file__).parent
DIGITS = ROOT / 'configs' / 'demo' / 'dia-resnet18_digits.py'
SE = dict(type='mmdia.BlockAttention', attention=dict(type='mmdia.SE', ratio=4))
DIA = dict(type='mmdia.DIALSTM', ratio=4)
RLA = dict(type='mmdia.RLA', context_channels=16, hidden_channels=8, ratio=2)
MRLA = dict(type='mmdia.MRLABase', head_channels=8)
DLA = dict(type='mmdia.DLABase', head_channels=8, ratio=4)
DIGIT = 7  # number of the image for Grad-CAM
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
        '--work-dir',
        type=user_path,
        default=Path('work_dirs', 'gallery'),
        help='folder of the networks',
    )
    parser.add_argument(
        '--out-dir',
        type=user_path,
        default=Path('docs', 'analysis'),
        help='folder of the pictures (default docs/analysis)',
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
    """Draw all pictures; their numbers stay in the folder of the networks."""

    def run(command: List[str], names: List[str], out: str, *options: str) -> None:
        tool, *what = command
        first, *others = (model(name, work_dir) for name in names)
        beside = [part for pair in others for part in ('--beside', *pair)]
        files = ['--labels', *names, '--out', str(out_dir / out)]
        main = runpy.run_path(str(TOOLS / tool))['main']
        main([*what, *first, *beside, *options, *files])
        table = (out_dir / out).with_suffix('.csv')
        table.replace(work_dir / table.name)

    everything = ['--max-images', '0']
    run(['attention.py', 'curve'], ['RLA'], 'curve.svg', *everything)
    by_class = ['--by', 'class', '--normalize', *everything]
    run(['attention.py', 'curve'], ['RLA'], 'curve-by-class.svg', *by_class)
    stage = ['--stages', 'layer3', *everything]
    run(['attention.py', 'scores'], ['MRLA-B', 'DLA-B'], 'scores.svg', *stage)
    trees = ['--split', 'train', '--max-images', '500', '--trees', '50']
    run(['attention.py', 'integration'], ['DIA', 'SE'], 'integration.svg', *trees)
    names = ['plain', 'SE', 'DIA']
    run(['gradients.py'], names, 'gradients.svg', '--max-images', '512')
    names = [f'{name}-no-skip' for name in names]
    run(['gradients.py'], names, 'gradients-no-skip.svg', '--max-images', '512')
    digit = work_dir / 'digit.png'
    mmcv.imwrite(DigitsDataset(split='test')[DIGIT]['img'], str(digit))
    blocks = [
        '--branches',
        '--blocks',
        *(f'layer{stage}.{i}' for stage in (1, 2, 3) for i in (0, 2, 4)),
    ]
    curve = ['--normalize-by', str(work_dir / 'curve.csv')]
    run(['grad_cam.py', str(digit)], ['RLA', 'plain'], 'grad_cam.svg', *blocks, *curve)


def main() -> None:
    """Train and draw."""
    args = parse_args()
    torch.set_num_threads(1)
    for name in NETWORKS:
        train(name, args.work_dir)
    draw(args.work_dir, args.out_dir)


if __name__ == '__main__':
    main()
