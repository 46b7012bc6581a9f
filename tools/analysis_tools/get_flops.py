"""Print the parameters of models and their FLOPs: multiplications with additions of one image.

Those of attentions are counted in full. Of a detector, the FLOPs are the backbone's; of a
segmentation network, those of backbone, neck and decode head.
"""

from argparse import ArgumentParser

from mmdia.apis.models import find_config
from mmdia.results.complexity import measure_complexity


def main() -> None:
    """Count, and print a table in Markdown."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument('configs', nargs='+', help='names or paths of configs, also mmdet::...')
    parser.add_argument(
        '--image-size', type=int, default=224, help='height and width of the image (default 224)'
    )
    args = parser.parse_args()
    if args.image_size < 1:
        parser.error(f'--image-size must be positive, got {args.image_size}')
    print('| Model | Parameters (M) | FLOPs (G) |')
    print('|---|---|---|')
    for name in args.configs:
        try:
            cfg, _ = find_config(name)
        except Exception as error:  # configs are programs
            kind = type(error).__name__
            raise SystemExit(f'config {name} cannot be read: {kind}: {error}') from error
        parameters, flops = measure_complexity(cfg, args.image_size)
        print(f'| {name} | {parameters / 1e6:.3f} | {flops / 1e9:.4f} |')


if __name__ == '__main__':
    main()
