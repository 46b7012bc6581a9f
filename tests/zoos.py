"""The backbones in the configs of MMDetection, MMPretrain, MMRotate and MMSegmentation."""

import re
from copy import deepcopy
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Iterator

from mmengine.config import Config, ConfigDict

KINDS = ('ResNet', 'ResNetV1c', 'ResNetV1d', 'ResNeXt', 'ResNet_CIFAR', 'SEResNet', 'SEResNeXt')
BASE = re.compile(r'\{\{\s*(_base_[\w.]*)\s*\}\}')
BASES = re.compile(r'^_base_ = (\[.*?\]|\S+)', re.MULTILINE | re.DOTALL)


@cache
def mentions_resnet(path: Path) -> bool:
    """Whether a config, or what it inherits from, says anything of a ResNet."""
    text = path.read_text()
    names = re.findall(r'[\'"](.*?)[\'"]', (BASES.search(text) or ['', ''])[1])
    return 'ResNe' in text or any(
        mentions_resnet((path.parent / name).resolve())
        for name in names
        if (path.parent / name).is_file()
    )


@cache
def read(path: Path) -> ConfigDict:
    """Read a config, and each that it inherits from once for all.

    MMEngine reads the common ones anew for every config, which takes minutes.
    """
    text = path.read_text()
    bases = (BASES.search(text) or ['', '[]'])[1]
    bases = eval(bases)
    inherited = {}
    for name in [bases] if isinstance(bases, str) else bases:
        inherited.update(read((path.parent / name).resolve()))
    names = dict(_base_=ConfigDict(inherited))
    text = BASE.sub(r'\1', BASES.sub('', text))
    exec(text, names)
    # Copies, since merging takes ``_delete_`` out of dicts that may stand in two places.
    own = {k: deepcopy(v) for k, v in names.items() if not k.startswith('_') and k != 'os'}
    return ConfigDict(Config._merge_a_into_b(own, inherited))


def dicts(value: object) -> Iterator[dict]:
    """All dicts in a config."""
    if isinstance(value, dict):
        yield value
    for child in value.values() if isinstance(value, dict) else value:
        if isinstance(child, (dict, list, tuple)):
            yield from dicts(child)


def backbones(library: str) -> Iterator[dict]:
    """The ResNets in all configs of a library."""
    folder = Path(import_module(library).__file__).parent / '.mim' / 'configs'
    for path in sorted(folder.rglob('*.py')):
        if '_base_' in path.parts or not mentions_resnet(path):
            continue
        for found in dicts(read(path).get('model', {})):
            kind = found.get('type')
            if isinstance(kind, str) and kind.rpartition('.')[2] in KINDS and 'depth' in found:
                yield found
