"""Export a network, of a detector the backbone and neck, to ONNX or torch.export.

The exported network takes any number of preprocessed images of any size. Its outputs are
compared with those of PyTorch at other numbers and sizes before the file is written.
"""

import io
import warnings
from argparse import ArgumentParser, Namespace
from copy import deepcopy
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from timeit import timeit
from typing import Callable, List, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.utils import digit_version
from torch import Tensor, nn
from torch.export import ExportedProgram

from mmdia.cli.analysis import FRESH, read_model
from mmdia.cli.command_line import add_config_options, add_trust_argument, protect
from mmdia.cli.outputs import check_file, user_path
from mmdia.cli.plain import plain_class
from mmdia.engine.files import replace_file
from mmdia.models import ResidualBackbone
from mmdia.utils.configs import is_detection, is_segmentation

SUFFIXES = dict(onnx='.onnx', torch='.pt2')
PACKAGES = ('onnx', 'onnxruntime', 'onnxscript')
# What is exported with a map of one pixel takes it to be always so; strides go up to 128.
TRACED = (2, 256, 256)
TOLERANCE = 1e-4
ROUNDS = 20

Run = Callable[[Tensor], List[Tensor]]


class Exportable(nn.Module):
    """What is exported of a model: images to a tuple of tensors.

    Args:
        model (BaseModel): A classifier or a segmentation network, which gives
            its logits, or a detector, which gives the maps of its neck, or of its
            backbone if it has none.
        detection (bool): Whether it is a detector.
    """

    def __init__(self, model: BaseModel, detection: bool) -> None:
        super().__init__()
        self.model = model
        self.detection = detection
        self.eval()

    def forward(self, images: Tensor) -> Tuple[Tensor, ...]:
        """Compute the outputs from preprocessed images of shape (N, 3, H, W)."""
        if self.detection:
            return tuple(self.model.extract_feat(images))
        return (self.model(images, mode='tensor'),)


def parse_args(argv: Optional[Sequence[str]] = None) -> Namespace:
    """Read the command line."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file, or its name if it comes with mmdia')
    parser.add_argument(
        'checkpoint',
        help=f'checkpoint file, URL, or name such as mmdia://NAME; {FRESH} for fresh weights',
    )
    parser.add_argument('--format', choices=list(SUFFIXES), default='onnx', help='(default onnx)')
    parser.add_argument(
        '--out',
        type=user_path,
        help='file to write, .onnx or .pt2; by default work_dirs/export/CONFIG.onnx or .pt2',
    )
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        default=[224, 224],
        metavar=('HEIGHT', 'WIDTH'),
        help='size of the images that are tried (default 224 224); the exported network takes any',
    )
    parser.add_argument(
        '--time',
        action='store_true',
        help='compare the time of one image with that of the network without its interaction',
    )
    add_config_options(parser)
    add_trust_argument(parser)
    parser.set_defaults(seed=0, device='cpu')
    args = parser.parse_args(argv)
    check_arguments(parser, args)
    return args


def check_arguments(parser: ArgumentParser, args: Namespace) -> None:
    """Stop at values that cannot be used, and where a package is missing; complete ``out``."""
    suffix = SUFFIXES[args.format]
    if args.out is None:
        args.out = Path('work_dirs', 'export', Path(args.config).stem + suffix)
    if args.out.suffix != suffix:
        parser.error(f'--out must end in {suffix} with --format {args.format}, got {args.out}')
    if min(args.size) < 1:
        parser.error(f'--size must be positive, got {args.size[0]} {args.size[1]}')
    if digit_version(torch.__version__) < digit_version('2.6'):
        parser.error(f'PyTorch 2.6 or later is needed to export, this is {torch.__version__}')
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if args.format == 'onnx' and missing:
        parser.error(f"{', '.join(missing)} not found: pip install 'mmdia[export]'")


def read_network(args: Namespace) -> Tuple[Config, Exportable]:
    """The config that the options name, and what is exported of its model.

    Raises:
        SystemExit: If it cannot be used, or is of another task.
    """
    cfg, model = read_model(args.config, args.checkpoint, args)
    detection = is_detection(cfg)
    known = detection or is_segmentation(cfg) or getattr(model, 'with_head', False)
    if not hasattr(model, 'backbone') or not known:
        raise SystemExit(
            f'config {args.config} is not of a classifier, a detector or a segmentation network'
        )
    return cfg, Exportable(model, detection)


def without_interaction(cfg: Config, network: Exportable, size: Sequence[int]) -> Exportable:
    """The same network with a plain backbone, whose weights are random.

    Raises:
        SystemExit: If there is none, or it does not fit what follows.
    """
    cls = type(network.model.backbone)
    if not issubclass(cls, ResidualBackbone):
        raise SystemExit(f'--time needs a backbone of mmdia, the config has {cls.__name__}')
    plain = deepcopy(network)
    arguments = {k: v for k, v in cfg.model.backbone.items() if k not in ('type', '_scope_')}
    plain.model.backbone = plain_class(cls)(**arguments)
    try:
        with torch.no_grad():
            plain.eval()(draw_images(2, *size))
    except RuntimeError as error:
        raise SystemExit(
            f'--time: the rest of the model does not take the plain backbone: {error}'
        ) from error
    return plain


def draw_images(number: int, height: int, width: int) -> Tensor:
    """Random images of shape (number, 3, height, width)."""
    return torch.randn(number, 3, height, width, generator=torch.Generator().manual_seed(0))


def output_names(network: Exportable, size: Sequence[int]) -> List[str]:
    """Names of the outputs.

    Raises:
        SystemExit: If the network does not take images of this size.
    """
    try:
        with torch.no_grad():
            outputs = network(draw_images(2, *size))
    except (RuntimeError, ValueError) as error:
        raise SystemExit(
            f'the network does not take images of {size[0]} x {size[1]}: {error}'
        ) from error
    return [f'map{i}' for i in range(len(outputs))] if network.detection else ['logits']


def export(network: Exportable, format: str, outputs: Sequence[str]) -> bytes:
    """Export a network for any number and any size of images.

    Args:
        network (Exportable): The network.
        format (str): ``'onnx'`` or ``'torch'``.
        outputs (Sequence[str]): Names of the outputs in ONNX.

    Returns:
        bytes: The content of the file.

    Raises:
        SystemExit: If it cannot be exported.
    """
    dynamic = torch.export.Dim.DYNAMIC
    shapes = ({0: dynamic, 2: dynamic, 3: dynamic},)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            images = (draw_images(*TRACED),)
            program = torch.export.export(network, images, dynamic_shapes=shapes)
            return serialize(program, format, outputs)
    except Exception as error:  # exporters fail in every way
        reason = ' '.join(f'{type(error).__name__}: {error}'.split())
        raise SystemExit(f'the network cannot be exported: {reason}') from error


def serialize(program: ExportedProgram, format: str, outputs: Sequence[str]) -> bytes:
    """The content of the file of an exported network."""
    if format == 'torch':
        buffer = io.BytesIO()
        torch.export.save(program, buffer)
        return buffer.getvalue()
    result = torch.onnx.export(
        program, dynamo=True, verbose=False, input_names=['images'], output_names=outputs
    )
    return result.model_proto.SerializeToString()


def load(content: bytes, format: str) -> Run:
    """A function that runs the content of a file, in ONNX Runtime or in PyTorch."""
    if format == 'torch':
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # PyTorch's own buffer cannot be written to
            module = torch.export.load(io.BytesIO(content)).module()
        return torch.no_grad()(lambda images: list(module(images)))
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(content, options, providers=['CPUExecutionProvider'])
    return lambda images: [
        torch.from_numpy(output) for output in session.run(None, dict(images=images.numpy()))
    ]


def largest_difference(expected: Sequence[Tensor], actual: Sequence[Tensor]) -> float:
    """The largest difference of two lists of outputs.

    That of each output is relative to its largest value.
    """
    least = torch.finfo(torch.float32).tiny
    differences = [
        (a - e).abs().max() / e.abs().max().clamp(min=least)
        for e, a in zip(expected, actual, strict=True)
    ]
    return torch.stack(differences).max().item()


def compare(network: Exportable, run: Run, size: Sequence[int]) -> None:
    """Print how far the outputs are from those of PyTorch, at other sizes and batches.

    Raises:
        SystemExit: If they are too far, or there are none.
    """
    height, width = size
    # Poolings let torch.export take multiples of up to 32 alone.
    for shape in ((1, height + 32, width), (3, height, width + 64)):
        images = draw_images(*shape)
        with torch.no_grad():
            expected = network(images)
        try:
            actual = run(images)
        except Exception as error:  # those of ONNX Runtime have no class of their own
            raise SystemExit(
                f'the exported network does not take images of {shape[1]} x {shape[2]}, '
                f'try another --size: {error}'
            ) from error
        difference = largest_difference(expected, actual)
        found = (
            f'largest difference from PyTorch with {shape[0]} x 3 x {shape[1]} x {shape[2]}: '
            f'{difference:.1e}'
        )
        if not difference <= TOLERANCE:  # nor is NaN
            raise SystemExit(f'{found}, more than {TOLERANCE:.0e}; nothing is written')
        print(found)


def measure(runs: Sequence[Run], images: Tensor) -> np.ndarray:
    """Seconds of functions that run in turns; the shape is (ROUNDS, number of functions)."""
    steps = [partial(run, images) for run in runs]
    return np.array([[timeit(step, number=1) for step in steps] for _ in range(ROUNDS)])


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Export, compare, and write the file."""
    args = parse_args(argv)
    protect(args)
    cfg, network = read_network(args)
    check_file('--out', args.out)
    outputs = output_names(network, args.size)
    plain = without_interaction(cfg, network, args.size) if args.time else None
    content = export(network, args.format, outputs)
    run = load(content, args.format)
    compare(network, run, args.size)
    if plain is not None:
        plain_run = load(export(plain, args.format, outputs), args.format)
        seconds = measure([run, plain_run], draw_images(1, *args.size))
        ratio = np.median(seconds[:, 0] / seconds[:, 1])
        own, other = 1000 * np.median(seconds, axis=0)
        print(f'time: {ratio:.2f} times the plain network ({own:.1f} ms and {other:.1f} ms)')
    try:
        replace_file(args.out, content)
    except OSError as error:
        raise SystemExit(f'--out {args.out} cannot be written: {error}') from error
    print(f'wrote {args.out}: images to {", ".join(outputs)}')


if __name__ == '__main__':
    main()
