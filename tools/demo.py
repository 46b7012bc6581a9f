"""Train a small classifier and a small detector with DIA-LSTM, and draw what they learned."""

import os
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Dict, NamedTuple, Tuple

import mmcv
import numpy as np
import torch
from mmengine.config import Config
from mmengine.fileio import dump
from mmengine.runner import Runner
from torch import Tensor

from mmdia.cli.outputs import user_path
from mmdia.results.models import read_models, read_sources
from mmdia.results.report import main_metrics, render
from mmdia.visualization import Recorder, plot_gates

CONFIGS = Path(__file__).resolve().parents[1] / 'configs' / 'demo'
IMAGE_SIZES = dict(accuracy=32, box_AP=128)  # by the metric that counts
PICTURES = ('gates.png', 'detections.png')


class Task(NamedTuple):
    """A model to train, and what it promises.

    Args:
        title (str): What is trained.
        config (str): Name of the config file.
        metric (str): The metric of the test that counts.
        promised (float): Its least value after the whole training.
        quick_epochs (int): Epochs of a quick training.
        quick_promised (float): Its least value after a quick training.
    """

    title: str
    config: str
    metric: str
    promised: float
    quick_epochs: int
    quick_promised: float


CLASSIFIER = Task('digits', 'dia-resnet18_digits.py', 'accuracy/top1', 97.0, 3, 70.0)
DETECTOR = Task('shapes', 'faster-rcnn_dia-r18_fpn_shapes.py', 'coco/bbox_mAP', 0.5, 3, 0.15)


def parse_args() -> Namespace:
    """Read the command line."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument(
        '--work-dir', type=user_path, default='work_dirs/demo', help='folder to write to'
    )
    parser.add_argument('--quick', action='store_true', help='train less and promise less')
    parser.add_argument('--seed', type=int, default=0, help='seed of the training')
    return parser.parse_args()


def read_config(task: Task, args: Namespace) -> Config:
    """The config of a task, with the options of the command line."""
    cfg = Config.fromfile(CONFIGS / task.config)
    cfg.work_dir = str(args.work_dir / task.title)
    cfg.randomness = dict(seed=args.seed)
    if args.quick:
        cfg.train_cfg.max_epochs = cfg.param_scheduler.end = task.quick_epochs
        cfg.train_cfg.val_interval = 1
    return cfg


def train_and_test(task: Task, args: Namespace) -> Tuple[Runner, dict]:
    """Train a model and test it; the runner, and what is reported of it."""
    start = time.perf_counter()
    runner = Runner.from_cfg(read_config(task, args))
    runner.train()
    score = runner.test().get(task.metric, 0.0)  # CocoMetric is silent where nothing is detected
    seconds = round(time.perf_counter() - start, 1)
    promised = task.quick_promised if args.quick else task.promised
    return runner, dict(metric=task.metric, score=score, promised=promised, seconds=seconds)


@torch.no_grad()
def gates_of_classes(runner: Runner) -> Dict[str, Tensor]:
    """The mean gates over the test images of each class: (blocks, classes, C) a stage."""
    model, labels = runner.model.eval(), []
    with Recorder(model.backbone, ['gate']) as recorder:
        for batch in runner.test_dataloader:
            data = model.data_preprocessor(batch)
            model.backbone(data['inputs'])
            labels += [sample.gt_label.item() for sample in data['data_samples']]
    labels = torch.tensor(labels)
    means = {}
    for stage, records in recorder.by_stage('gate').items():
        gates = torch.stack([record.samples for record in records])
        means[stage] = torch.stack(
            [gates[:, labels == label].mean(1) for label in labels.unique()], dim=1
        )
    return means


def draw_detections(runner: Runner, columns: int = 4, zoom: int = 3) -> np.ndarray:
    """Detections on the first test images, as one RGB image of two rows."""
    model, visualizer = runner.model.eval(), runner.visualizer
    batch = next(iter(runner.test_dataloader))
    with torch.no_grad():
        samples = model.test_step(batch)[: 2 * columns]
    pictures = []
    for sample in samples:
        image = mmcv.imrescale(mmcv.imread(sample.img_path, channel_order='rgb'), zoom)
        sample.pred_instances.bboxes *= zoom
        visualizer.add_datasample(
            'detections', image, sample.cpu(), draw_gt=False, pred_score_thr=0.5
        )
        pictures.append(visualizer.get_image())
    return np.vstack([np.hstack(pictures[:columns]), np.hstack(pictures[columns:])])


def write_page(work_dir: Path) -> None:
    """Write the page of both runs, with the pictures."""
    records = read_sources([work_dir / task.title for task in (CLASSIFIER, DETECTOR)])
    models = {
        metric: read_models(records, metric, image_size=IMAGE_SIZES[metric])
        for metric in main_metrics(records)
    }
    page = render(models, [work_dir / name for name in PICTURES], 'A first look at DIA-ResNet')
    (work_dir / 'report.html').write_text(page, encoding='utf-8')


def report(summary: Dict[str, dict], work_dir: Path) -> None:
    """Print and write the figures of the tasks, by their titles.

    Raises:
        SystemExit: If a score is below what was promised.
    """
    dump(summary, work_dir / 'summary.json', indent=2)
    print(f'\n{"task":8} {"metric":14} {"score":>8} {"promised":>9} {"seconds":>8}')
    for title, row in summary.items():
        print('{:8} {metric:14} {score:8.3f} {promised:9.2f} {seconds:8.1f}'.format(title, **row))
    for name in ('summary.json', *PICTURES, 'report.html'):
        print(work_dir / name)
    missed = [title for title, row in summary.items() if not row['score'] >= row['promised']]
    if missed:
        raise SystemExit(f'FAILED: {" and ".join(missed)} scored less than promised')


def main() -> None:
    """Train, test, draw and report."""
    args = parse_args()
    if 'OMP_NUM_THREADS' not in os.environ:
        # So small models gain little from more threads, which on a busy machine wait for one
        # another: seen there, 5.2 s an iteration of the detector in place of 0.2 s.
        torch.set_num_threads(1)
    args.work_dir.mkdir(parents=True, exist_ok=True)
    classifier, digits = train_and_test(CLASSIFIER, args)
    plot_gates(gates_of_classes(classifier)).savefig(args.work_dir / 'gates.png')
    detector, shapes = train_and_test(DETECTOR, args)
    mmcv.imwrite(draw_detections(detector)[..., ::-1], str(args.work_dir / 'detections.png'))
    write_page(args.work_dir)
    report({CLASSIFIER.title: digits, DETECTOR.title: shapes}, args.work_dir)


if __name__ == '__main__':
    main()
