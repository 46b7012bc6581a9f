"""Show what a classifier, a detector or a segmentation network finds in images and videos.

Takes an image, a folder of images, a URL, or, unless it is a classifier, a video.
"""

from argparse import ArgumentParser, Namespace
from functools import partial
from pathlib import Path
from typing import Callable, List, Optional

import cv2
import mmcv
import numpy as np
from mmengine import fileio
from mmengine.config import Config
from mmengine.infer import BaseInferencer
from mmengine.registry import init_default_scope

from mmdia.checkpoints.loader import PREFIX
from mmdia.cli.analysis import check_device
from mmdia.cli.command_line import add_trust_argument, load_config, protect
from mmdia.cli.outputs import check_folder, user_path
from mmdia.cli.weights import check_weights, read_weights
from mmdia.utils.configs import is_detection, is_segmentation, scope_of

IMAGES = ('.jpg', '.jpeg', '.png', '.bmp', '.ppm', '.tif', '.tiff', '.webp')
VIDEOS = ('.mp4', '.avi', '.mov', '.mkv', '.webm')


def parse_args() -> Namespace:
    """Read the command line."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('inputs', help='image, folder of images, URL, or video')
    parser.add_argument('config', help='config file, or its name if it comes with mmdia')
    parser.add_argument(
        'checkpoint',
        nargs='?',
        help='checkpoint file, URL, or name such as mmdia://NAME; by default mmdia://CONFIG',
    )
    parser.add_argument(
        '--out-dir', type=user_path, default='outputs', help='folder to write to (default outputs)'
    )
    parser.add_argument(
        '--score-thr', type=float, default=0.3, help='least score of a detection (default 0.3)'
    )
    parser.add_argument('--device', help='such as cpu or cuda:1; by default the best there is')
    add_trust_argument(parser)
    args = parser.parse_args()
    if args.checkpoint is None:
        args.checkpoint = f'{PREFIX}{Path(args.config).stem}'
    if not 0 <= args.score_thr <= 1:
        parser.error(f'--score-thr must be between 0 and 1, got {args.score_thr}')
    if args.device is not None:
        check_device(parser, args.device)
    return args


def find_inputs(inputs: str) -> List[str]:
    """The images, or the video, that an argument stands for."""
    if '://' in inputs:
        found = [inputs]
    elif Path(inputs).is_dir():
        files = Path(inputs).iterdir()
        found = sorted(str(file) for file in files if file.suffix.lower() in IMAGES)
        if not found:
            raise SystemExit(f'folder {inputs} has no images')
    elif Path(inputs).is_file():
        found = [inputs]
    else:
        raise SystemExit(f'{inputs} does not exist')
    for image in found:
        if not is_video(image):
            check_image(image)
    return found


def check_image(image: str) -> None:
    """Exit with an error unless an image can be loaded."""
    try:
        content = np.frombuffer(fileio.get(image), np.uint8)
        reason = 'it is damaged or no image' if cv2.imdecode(content, 1) is None else None
    except Exception as error:  # servers, disks and decoders fail in every way
        reason = ' '.join(str(error).split())
    if reason:
        raise SystemExit(f'image {image} cannot be read: {reason}')


def is_video(path: str) -> bool:
    """Whether a file is a video, judged by its name."""
    return Path(path).suffix.lower() in VIDEOS


def find_outputs(inputs: List[str], out_dir: Path, classifier: bool) -> List[Path]:
    """The files that are written for images and videos.

    Raises:
        SystemExit: If one is an input, or that of another, or of what a classifier does not take.
    """
    sources = {Path(source).resolve() for source in inputs}
    outputs = {}
    for source in inputs:
        if classifier and is_video(source):
            raise SystemExit(f'{source}: a classifier takes images, no videos')
        if is_video(source):
            output = out_dir / f'{Path(source).stem}.mp4'
        elif classifier:
            output = (out_dir / Path(source).stem).with_suffix('.png')  # as MMPretrain does
        else:
            output = out_dir / 'vis' / Path(source).name
        if output.resolve() in sources:
            raise SystemExit(f'{output} would be overwritten, give another --out-dir')
        other = outputs.setdefault(output, source)
        if other != source:
            raise SystemExit(f'{other} and {source} would both become {output}, rename one')
    return list(outputs)


def draw_video(video: str, out: Path, draw: Callable) -> None:
    """Draw on every frame of a video."""
    reader = mmcv.VideoReader(video)
    if not reader.opened or not reader.frame_cnt:
        raise SystemExit(f'video {video} cannot be read')
    codec = cv2.VideoWriter_fourcc(*'mp4v')
    writer = cv2.VideoWriter(str(out), codec, reader.fps, reader.resolution)
    for frame in reader:
        drawn = draw(frame, return_vis=True)['visualization']
        drawn = drawn[0] if isinstance(drawn, list) else drawn  # of a detector
        writer.write(np.ascontiguousarray(drawn))
    writer.release()


def build_inferencer(cfg: Config, checkpoint: str, device: Optional[str]) -> BaseInferencer:
    """The inferencer of the library of a config, in its default scope."""
    scope = scope_of(cfg)
    init_default_scope(scope)
    if is_detection(cfg):
        from mmdet.apis import DetInferencer

        return DetInferencer(cfg, checkpoint, device, scope, show_progress=False)
    if is_segmentation(cfg):
        from mmseg.apis import MMSegInferencer

        return MMSegInferencer(cfg, checkpoint, device=device, scope=scope, show_progress=False)
    from mmpretrain import ImageClassificationInferencer

    return ImageClassificationInferencer(cfg, checkpoint, device)


def main() -> None:
    """Draw."""
    args = parse_args()
    protect(args)
    inputs = find_inputs(args.inputs)
    cfg = load_config(args.config)
    for key in ('model', 'test_dataloader'):  # the latter has the transforms of images
        if cfg.get(key) is None:
            raise SystemExit(f'config {args.config} has no {key}')
    outputs = find_outputs(inputs, args.out_dir, not (is_detection(cfg) or is_segmentation(cfg)))
    check_folder('--out-dir', args.out_dir)
    weights = read_weights(args.checkpoint)
    inferencer = build_inferencer(cfg, args.checkpoint, args.device)
    check_weights(args.checkpoint, weights, inferencer.model)
    if is_detection(cfg):
        draw = partial(inferencer, pred_score_thr=args.score_thr)
    elif is_segmentation(cfg):
        draw = inferencer
    else:
        for image, result in zip(inputs, inferencer(inputs, show_dir=args.out_dir)):
            print(f'{image}: {result.get("pred_class", result["pred_label"])}')
        return
    for source, out in zip(inputs, outputs):
        if is_video(source):
            draw_video(source, out, draw)
        else:
            draw(source, out_dir=str(args.out_dir))
    print(f'results are in {args.out_dir}')


if __name__ == '__main__':
    main()
