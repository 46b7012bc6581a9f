"""Draw what a detector finds, or what a classifier sees, on images and videos.

Takes an image, a folder of images, a video, or the URL of an image or a video.
"""

from argparse import ArgumentParser, Namespace
from collections import Counter
from pathlib import Path
from typing import Callable, List, Optional, Sequence, Tuple
from urllib.parse import urlparse

import cv2
import matplotlib.pyplot as plt
import mmcv
import numpy as np
import torch
from mmengine import fileio
from mmengine.config import Config, ConfigDict
from mmengine.dataset import Compose, pseudo_collate
from mmengine.device import get_device
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DATASETS, MODELS, VISUALIZERS, init_default_scope
from mmengine.runner import CheckpointLoader
from mmengine.structures import BaseDataElement
from mmengine.visualization import Visualizer
from rich.progress import track
from torch import nn

from mmdia.apis.command_line import is_detection
from mmdia.apis.data_check import inner_datasets

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
IMAGES = ('.jpg', '.jpeg', '.png', '.bmp', '.ppm', '.pgm', '.tif', '.tiff', '.webp')
VIDEOS = ('.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v', '.mpg', '.mpeg', '.wmv', '.flv')
# The least length in pixels of the shorter side of an image that has a class written on it.
LEGIBLE = 224

# From an image (BGR), the image with what was found in it (BGR), and the same in words.
Draw = Callable[[np.ndarray], Tuple[np.ndarray, str]]


def parse_args() -> Namespace:
    """Read the command line."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('inputs', help='image, folder of images, video, or URL')
    parser.add_argument('config', help='config file, or the name of one of ours')
    parser.add_argument('checkpoint', help='checkpoint file or URL')
    parser.add_argument('--out-dir', default='outputs', help='folder to write to (default outputs)')
    parser.add_argument(
        '--score-thr', type=float, default=0.3, help='least score of a detection (default 0.3)'
    )
    parser.add_argument('--device', help='such as cpu or cuda:1; by default the best there is')
    parser.add_argument(
        '--classes', nargs='+', help='names of the classes, if not those of the checkpoint'
    )
    parser.add_argument('--show', action='store_true', help='show results in a window')
    args = parser.parse_args()
    if not 0 <= args.score_thr <= 1:
        parser.error(f'--score-thr must be between 0 and 1, got {args.score_thr}')
    if Path(args.out_dir).exists() and not Path(args.out_dir).is_dir():
        parser.error(f'--out-dir: {args.out_dir} is not a folder')
    if args.show and plt.get_backend().lower() == 'agg':
        parser.error('--show: there is no display')
    return args


def find_sources(inputs: str) -> List[str]:
    """The images or the video that an argument stands for.

    Args:
        inputs (str): A file, a folder or a URL.

    Returns:
        List[str]: Files or URLs; of a folder all images, in order of their names.

    Raises:
        SystemExit: If there is nothing.
    """
    path = Path(inputs)
    if path.is_dir():
        found = sorted(str(file) for file in path.iterdir() if file.suffix.lower() in IMAGES)
        if not found:
            raise SystemExit(f'folder {inputs} has no images ({", ".join(IMAGES)})')
        return found
    if '://' not in inputs and not path.exists():
        raise SystemExit(f'{inputs} does not exist')
    return [inputs]


def is_video(source: str) -> bool:
    """Whether a file or URL is a video, by its name."""
    return Path(urlparse(source).path).suffix.lower() in VIDEOS


def output_path(source: str, out_dir: str) -> Path:
    """Where to write the result for a file or URL."""
    path = Path(urlparse(source).path if '://' in source else source)
    if is_video(source):
        out = Path(out_dir, f'{path.stem}.mp4')
    else:
        kept = path.suffix.lower() in ('.jpg', '.jpeg', '.png')
        out = Path(out_dir, path.name if kept else f'{path.name}.png')
    if out.resolve() == path.resolve():
        raise SystemExit(f'--out-dir {out_dir} would overwrite {source}')
    return out


def find_config(name: str) -> Config:
    """Read a config by its path, or one of ours by its name."""
    stem = name.removesuffix('.py')
    ours = [path for path in sorted(CONFIGS.rglob('*.py')) if path.stem == stem]
    if not Path(name).is_file() and not ours:
        raise SystemExit(f'config {name} does not exist')
    cfg = Config.fromfile(name if Path(name).is_file() else ours[0])
    if cfg.get('default_scope') not in ('mmdet', 'mmpretrain') or not cfg.get('test_dataloader'):
        raise SystemExit(f'{name} is not a complete config of MMDetection or MMPretrain')
    return cfg


def build_model(cfg: Config) -> nn.Module:
    """Build the model of a config, for one device, without any weights."""
    init_default_scope(cfg.default_scope)
    if cfg.model.get('backbone', {}).get('init_cfg'):
        cfg.model.backbone.init_cfg = None
    if 'data_preprocessor' in cfg:
        cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)
    return revert_sync_batchnorm(MODELS.build(cfg.model)).eval()


def read_checkpoint(path: str) -> dict:
    """Read a checkpoint from a file or URL."""
    try:
        checkpoint = CheckpointLoader.load_checkpoint(path, map_location='cpu')
    except Exception as error:  # of several libraries, by the way in which the file is broken
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise SystemExit(f'checkpoint {path} cannot be read: {reason}') from error
    if not isinstance(checkpoint, dict):
        raise SystemExit(f'checkpoint {path} cannot be read: it is a {type(checkpoint).__name__}')
    return checkpoint


def load_weights(model: nn.Module, checkpoint: dict, path: str) -> None:
    """Load the weights of a checkpoint that has all of a model, and nothing else.

    Args:
        model (nn.Module): The model.
        checkpoint (dict): The content of the checkpoint.
        path (str): Where it comes from.

    Raises:
        SystemExit: If keys are missing, unknown, or of another shape.
    """
    wanted = model.state_dict()
    given = {
        key.removeprefix('module.'): value
        for key, value in checkpoint.get('state_dict', checkpoint).items()
    }
    missing = wanted.keys() - given.keys()
    problems = {
        # Very old versions of PyTorch did not count the batches.
        'missing': [key for key in missing if not key.endswith('num_batches_tracked')],
        'of another shape': [
            key for key in wanted.keys() & given.keys() if wanted[key].shape != given[key].shape
        ],
        'unknown to the model': given.keys() - wanted.keys(),
    }
    found = [
        f'{len(keys)} {problem} ({", ".join(sorted(keys)[:3])}{", ..." if len(keys) > 3 else ""})'
        for problem, keys in problems.items()
        if keys
    ]
    if found:
        raise SystemExit(f'checkpoint {path} is of another model: keys {"; ".join(found)}')
    model.load_state_dict(given, strict=False)


def count_classes(model: nn.Module) -> Optional[int]:
    """The number of classes that a model tells apart, None where no head says it."""
    owner = getattr(model, 'roi_head', model)
    heads = (getattr(owner, name, None) for name in ('bbox_head', 'head'))
    head = next((head for head in heads if head is not None), None)
    if isinstance(head, nn.ModuleList):  # of a cascade
        head = head[-1]
    return getattr(head, 'num_classes', None)


def describe_data(
    cfg: Config, model: nn.Module, checkpoint: dict, names: Optional[Sequence[str]]
) -> dict:
    """The names and colors of the classes.

    Args:
        cfg (Config): The config.
        model (nn.Module): The model.
        checkpoint (dict): The content of its checkpoint.
        names (Sequence[str], optional): Names that come before all others.

    Returns:
        dict: ``'classes'``: the names given, or else those of the checkpoint or
        of the dataset of the test, whichever has as many as the model; or None.
        ``'palette'``: the colors of the same origin, or ``'random'``.
    """
    count = count_classes(model)
    if names and count not in (None, len(names)):
        raise SystemExit(f'--classes: got {len(names)} names for a model of {count} classes')
    meta = checkpoint.get('meta') or {}
    dataset = next((inner for _, inner in inner_datasets(cfg.test_dataloader, '')), {})
    metas = (
        {'classes': names},
        meta.get('dataset_meta') or meta,  # which had CLASSES itself in MMDetection 2
        dataset.get('metainfo') or {},
        getattr(DATASETS.get(dataset.get('type', '')), 'METAINFO', {}),
    )
    for data in ({key.lower(): value for key, value in meta.items()} for meta in metas):
        classes, palette = data.get('classes'), data.get('palette')
        if classes and count in (None, len(classes)):
            enough = isinstance(palette, list) and len(palette) >= len(classes)
            return dict(classes=classes, palette=palette if enough else 'random')
    return dict(classes=None, palette='random')


def build_pipeline(cfg: Config) -> Compose:
    """The pipeline of the test, for images that are in memory and have no annotations."""
    dataset = next(inner for _, inner in inner_datasets(cfg.test_dataloader, ''))
    skipped = ('LoadImageFromFile', 'LoadAnnotations')
    return Compose([step for step in dataset.pipeline if step.type.split('.')[-1] not in skipped])


def predict(model: nn.Module, pipeline: Compose, image: np.ndarray) -> BaseDataElement:
    """What a model finds in an image (BGR)."""
    shape = image.shape[:2]
    data = pipeline(dict(img=image, img_id=0, img_path='', img_shape=shape, ori_shape=shape))
    with torch.no_grad():
        return model.test_step(pseudo_collate([data]))[0].cpu()


def summarize(sample: BaseDataElement, classes: Optional[Sequence[str]], score_thr: float) -> str:
    """What was found in an image, in words."""
    name = str if classes is None else classes.__getitem__
    if 'pred_instances' not in sample:
        labels = sample.pred_label.tolist()
        found = [f'{name(label)} {sample.pred_score[label]:.2f}' for label in labels]
    else:
        labels = sample.pred_instances.labels[sample.pred_instances.scores > score_thr].tolist()
        found = [f'{count} {name(label)}' for label, count in Counter(labels).most_common()]
    return ', '.join(found) or 'nothing'


def build_visualizer(cfg: Config) -> Visualizer:
    """Build the visualizer of a config's library, which keeps nothing itself."""
    kind = 'DetLocalVisualizer' if is_detection(cfg) else 'UniversalVisualizer'
    return VISUALIZERS.build(ConfigDict(type=kind, name='image_demo'))


def build_draw(cfg: Config, model: nn.Module, visualizer: Visualizer, score_thr: float) -> Draw:
    """The function that finds and draws."""
    pipeline, classes = build_pipeline(cfg), visualizer.dataset_meta['classes']

    def draw(image: np.ndarray) -> Tuple[np.ndarray, str]:
        sample = predict(model, pipeline, image)
        rgb = image[..., ::-1]
        if is_detection(cfg):
            visualizer.add_datasample('', rgb, sample, draw_gt=False, pred_score_thr=score_thr)
        else:
            resize = LEGIBLE if min(rgb.shape[:2]) < LEGIBLE else None
            visualizer.visualize_cls(rgb, sample, draw_gt=False, resize=resize)
        drawn = np.ascontiguousarray(visualizer.get_image()[..., ::-1])
        return drawn, summarize(sample, classes, score_thr)

    return draw


def read_image(source: str) -> np.ndarray:
    """Read an image (BGR) from a file or URL."""
    try:
        image = mmcv.imfrombytes(fileio.get(source))
    except (OSError, ValueError, cv2.error) as error:
        reason = str(error).strip().splitlines()[0]
        raise SystemExit(f'image {source} cannot be read: {reason}') from error
    if image is None:
        raise SystemExit(f'image {source} cannot be read: it is damaged, or not an image')
    return image


def draw_image(source: str, out: Path, draw: Draw, visualizer: Optional[Visualizer]) -> None:
    """Draw on an image, and show the result if there is a visualizer to do so."""
    drawn, found = draw(read_image(source))
    mmcv.imwrite(drawn, str(out))
    print(f'{out}: {found}')
    if visualizer is not None:
        visualizer.show(drawn[..., ::-1], win_name=out.name)


def draw_video(source: str, out: Path, draw: Draw, visualizer: Optional[Visualizer]) -> None:
    """Draw on all frames of a video, and show them if there is a visualizer to do so."""
    reader = mmcv.VideoReader(source)
    rate, writer, count = reader.fps or 25, None, 0
    for frame in track(reader, out.name, total=max(reader.frame_cnt, 0) or None, transient=True):
        drawn, _ = draw(frame)
        if writer is None:
            out.parent.mkdir(parents=True, exist_ok=True)
            codec = cv2.VideoWriter_fourcc(*'mp4v')
            writer = cv2.VideoWriter(str(out), codec, rate, drawn.shape[1::-1])
        writer.write(drawn)
        count += 1
        if visualizer is not None:
            visualizer.show(drawn[..., ::-1], win_name=out.name, wait_time=1 / rate)
    if writer is None:
        raise SystemExit(f'video {source} cannot be read')
    writer.release()
    print(f'{out}: {count} frames')


def main() -> None:
    """Draw."""
    args = parse_args()
    tasks = [(source, output_path(source, args.out_dir)) for source in find_sources(args.inputs)]
    cfg = find_config(args.config)
    checkpoint = read_checkpoint(args.checkpoint)
    model = build_model(cfg)
    load_weights(model, checkpoint, args.checkpoint)
    device = args.device or get_device()
    try:
        model.to(device)
    except (AssertionError, RuntimeError) as error:
        raise SystemExit(f'--device {device}: {str(error).splitlines()[0]}') from error
    visualizer = build_visualizer(cfg)
    visualizer.dataset_meta = describe_data(cfg, model, checkpoint, args.classes)
    draw = build_draw(cfg, model, visualizer, args.score_thr)
    for source, out in tasks:
        draw_file = draw_video if is_video(source) else draw_image
        draw_file(source, out, draw, visualizer if args.show else None)


if __name__ == '__main__':
    main()
