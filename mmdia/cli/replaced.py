"""Backbones of ours in the place of others, whose types said more than their arguments."""

import ast
from pathlib import Path
from typing import Dict, Iterator, Tuple

from mmengine.config import Config
from mmengine.utils import get_installed_path

from mmdia.utils.configs import part_of

# What the types of other libraries stand for, which is lost where a config replaces them.
REPLACED = dict(
    ResNet_CIFAR=('small_stem',),
    ResNetV1c=('deep_stem',),
    ResNetV1d=('deep_stem', 'avg_down'),
    ResNeXt=('groups',),
    SEResNet=('interaction',),
    SEResNeXt=('groups', 'interaction'),
)
OUR_RESNETS = ('ResNet', 'DIAResNet', 'DLAResNet', 'RLAResNet')


def base_files(path: Path) -> Iterator[Path]:
    """All files from which a config inherits, in MMEngine's formats."""
    if Config._is_lazy_import(str(path)):
        tree = ast.parse(path.read_text(encoding='utf-8'))
        bases = [module_file(name, path) for name in Config._get_base_modules(tree.body)]
    else:
        names = Config._get_base_files(str(path))
        bases = [Path(Config._get_cfg_path(name, str(path))[0]) for name in names]
    for base in bases:
        yield base
        yield from base_files(base)


def module_file(name: str, path: Path) -> Path:
    """The file of a module that a config imports, such as ``'..base'`` or ``'mmdet.configs.x'``."""
    parts = name.lstrip('.').split('.')
    level = len(name) - len(name.lstrip('.'))
    folder = path.parents[level - 1] if level else Path(get_installed_path(parts.pop(0)))
    return folder.joinpath(*parts).with_suffix('.py')


def backbones_of(cfg: Config) -> Dict[str, dict]:
    """The backbones of a config by their places, with the names of their types.

    Those of models within others, such as the detector of a SoftTeacher, are among them.
    """
    return dict(backbones_within(part_of(cfg.to_dict(), 'model'), 'model'))


def backbones_within(part: dict, place: str) -> Iterator[Tuple[str, dict]]:
    """Yield the backbones of a part of a config, and where they stand."""
    for name, inner in part.items():
        if isinstance(inner, dict):
            if name == 'backbone':
                yield f'{place}.{name}', inner
            yield from backbones_within(inner, f'{place}.{name}')


def deletes(path: Path, name: str) -> bool:
    """Whether a config file starts a backbone of a type, or one of a model, anew."""
    if path.suffix != '.py':
        return False
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Call):
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            starts = 'backbone' in given or name in given.get('type', '')
            if starts and given.get('_delete_') == 'True':
                return True
    return False


def check_replaced(cfg: Config) -> None:
    """Check that a backbone of ours is the same network as the one that it replaces.

    Args:
        cfg (Config): A config, as it was read from its file.

    Raises:
        ValueError: If what was said by the type that it replaces is said nowhere.
    """
    for place, backbone in backbones_of(cfg).items():
        check_backbone(cfg, place, backbone)


def check_backbone(cfg: Config, place: str, backbone: dict) -> None:
    """Check a backbone of a config; see :func:`check_replaced`."""
    package, _, name = str(backbone.get('type')).rpartition('.')
    if package.partition('.')[0] != 'mmdia' or name not in OUR_RESNETS:
        return
    known = {*backbone, *(() if name == 'ResNet' else ('interaction',))}
    file = Path(cfg.filename).absolute()
    files = [file, *base_files(file)]
    if any(deletes(path, name) for path in files):
        return
    for path in files[1:]:
        base = backbones_of(Config.fromfile(path)).get(place, {})
        other = str(base.get('type')).rpartition('.')[2]
        missing = [argument for argument in REPLACED.get(other, ()) if argument not in known]
        if missing and base.keys() <= backbone.keys():  # else it has been replaced as a whole
            raise ValueError(
                f'mmdia.{name} in the place of {other} is another network: write '
                f"type='mmdia.{other}' for the backbone, or say its {' and '.join(missing)}"
            )
