"""Download checkpoints ahead of time, for machines without internet."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import List

from mmdia.checkpoints import (
    Checkpoint,
    fetch,
    find_on_disk,
    list_models,
    list_trunks,
)
from mmdia.cli.outputs import user_path
from mmdia.engine.files import replace_file


def parse_args() -> Namespace:
    """Read the command line."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('names', nargs='*', metavar='NAME', help='checkpoint to download')
    parser.add_argument('--list', action='store_true', help='print all names and stop')
    parser.add_argument('--trunks', action='store_true', help='download all trunks')
    parser.add_argument(
        '--out',
        type=user_path,
        metavar='DIR',
        help='copy the files into a folder, for MMDIA_CHECKPOINTS to name elsewhere',
    )
    args = parser.parse_args()
    if not (args.names or args.list or args.trunks):
        parser.error('give names, --trunks or --list')
    return args


def table(checkpoints: List[Checkpoint]) -> str:
    """A line for each checkpoint, below a header."""
    lines = [('name', 'top-1', 'on disk', 'backbone')]
    for checkpoint in checkpoints:
        top1 = '' if checkpoint.top1 is None else f'{checkpoint.top1:.2f}'
        on_disk = 'yes' if find_on_disk(checkpoint) else 'no'
        lines.append((checkpoint.name, top1, on_disk, describe(checkpoint.backbone or {})))
    width = max(len(name) for name, *_ in lines)
    return '\n'.join(f'{n:{width}}  {t:>5}  {d:7}  {b}'.rstrip() for n, t, d, b in lines)


def describe(backbone: dict) -> str:
    """The config of a backbone in a few words."""
    return ', '.join(str(v) if k == 'type' else f'{k}={v}' for k, v in backbone.items())


def copy(source: Path, folder: Path) -> Path:
    """Copy a file into a folder, where it appears complete or not at all.

    Args:
        source (Path): The file.
        folder (Path): The folder, created where it is missing.

    Raises:
        OSError: If the file cannot be written.
    """
    target = folder / source.name
    folder.mkdir(parents=True, exist_ok=True)
    if not (target.exists() and target.samefile(source)):
        replace_file(target, source.read_bytes())
    return target


def main() -> None:
    """Download."""
    args = parse_args()
    if args.list:
        print(table([*list_trunks(), *list_models()]))
        return
    names = args.names + [trunk.name for trunk in list_trunks()] * args.trunks
    failures = []
    for name in dict.fromkeys(names):
        try:
            path = fetch(name)
            print(f'{name}: {copy(path, args.out) if args.out else path}', flush=True)
        except (OSError, ValueError) as error:
            failures.append(f'{name}: {error}')
    if failures:
        raise SystemExit('\n'.join(failures))


if __name__ == '__main__':
    main()
