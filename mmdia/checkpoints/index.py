"""The checkpoints that have a name: trunks of other libraries, and our own models."""

import re
from pathlib import Path
from typing import Iterator, List, NamedTuple, Optional, Tuple

from mmengine.fileio import load

TRUNKS = Path(__file__).with_name('index.yml')
# Where an installed package keeps its configs and their metafiles.
MODEL_INDEX = Path(__file__).parents[1] / '.mim' / 'model-index.yml'
HASH = re.compile(r'[0-9a-f]{8,64}')
# Eight digits may also be a date.
HASH_IN_NAME = re.compile(rf'-(?!(?:19|20)\d\d[01]\d[0-3]\d\.)({HASH.pattern})\.\w+$')


class Checkpoint(NamedTuple):
    """A file of weights that can be downloaded.

    Args:
        name (str): The name.
        urls (Tuple[str, ...]): Addresses of the same file, the preferred one
            first.
        sha256 (str): The first digits of the file's SHA-256, 8 to 64.
        top1 (float, optional): Top-1 accuracy in percent, if known.
        backbone (dict, optional): Config of the trunk that it is for; None for
            a whole model.
    """

    name: str
    urls: Tuple[str, ...]
    sha256: str
    top1: Optional[float] = None
    backbone: Optional[dict] = None

    @property
    def filename(self) -> str:
        """Name of the file on disk, which has the hash in it."""
        name = Path(self.urls[0].rpartition('/')[2])
        if HASH_IN_NAME.search(name.name):
            return name.name
        # An address mmdia://NAME has no suffix: the file comes with the package.
        return f'{name.stem}-{self.sha256[:8]}{name.suffix or ".pth"}'


def read_hash(name: str, value: object) -> str:
    """The hash in the entry of a checkpoint; raises a ``ValueError`` if it is none."""
    digits = value.lower() if isinstance(value, str) else ''
    if not HASH.fullmatch(digits):
        raise ValueError(
            f'SHA256 of checkpoint {name} must be 8 to 64 hexadecimal digits in quotes, '
            f'got {value!r}'
        )
    return digits


def list_trunks() -> List[Checkpoint]:
    """The trunks that other libraries publish."""
    return [
        Checkpoint(
            entry['Name'],
            tuple(entry['URLs']),
            read_hash(entry['Name'], entry['SHA256']),
            entry.get('Top 1 Accuracy'),
            entry['Backbone'],
        )
        for entry in load(TRUNKS)['Trunks']
    ]


def model_entries() -> Iterator[dict]:
    """Entries of all models in the metafiles, with and without weights."""
    if MODEL_INDEX.is_file():
        for path in load(MODEL_INDEX)['Import']:
            yield from load(MODEL_INDEX.parent / path)['Models']


def read_model(entry: dict) -> Checkpoint:
    """The checkpoint of an entry that has weights."""
    weights = entry['Weights']
    urls = (weights,) if isinstance(weights, str) else tuple(weights)
    in_name = HASH_IN_NAME.search(urls[0])
    given = (entry.get('Metadata') or {}).get('SHA256', in_name and in_name[1])
    metrics = [result.get('Metrics') or {} for result in entry.get('Results') or ()]
    top1 = next((m['Top 1 Accuracy'] for m in metrics if 'Top 1 Accuracy' in m), None)
    return Checkpoint(entry['Name'], urls, read_hash(entry['Name'], given), top1)


def list_models() -> List[Checkpoint]:
    """Our own models, by the metafiles of the configs, that have weights."""
    return [read_model(entry) for entry in model_entries() if entry.get('Weights')]


def find_checkpoint(name: str) -> Checkpoint:
    """The checkpoint of a name.

    Args:
        name (str): Name in ``index.yml`` or in a metafile of the configs.

    Raises:
        ValueError: If there is none of this name, or if it has no weights yet.
    """
    known = {checkpoint.name: checkpoint for checkpoint in (*list_trunks(), *list_models())}
    if name in known:
        return known[name]
    unpublished = any(entry['Name'] == name for entry in model_entries())
    problem = f'{name} has no weights yet' if unpublished else f'there is no checkpoint {name!r}'
    raise ValueError(f'{problem}; those that have weights are:\n  ' + '\n  '.join(known))
