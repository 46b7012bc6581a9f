"""Versions are checked at import, whatever the distribution's name."""

import ast
import re
import sys
from contextlib import suppress
from importlib import import_module, metadata
from pathlib import Path
from types import ModuleType

import pytest

from mmdia.compat import REQUIREMENTS, Requirement, check_requirement, check_requirements


@pytest.fixture
def install(monkeypatch):
    """Pretend that exactly these distributions are installed."""

    def pretend(**versions):
        def version(name):
            try:
                return versions[name.replace('-', '_')]
            except KeyError:
                raise metadata.PackageNotFoundError(name) from None

        monkeypatch.setattr(metadata, 'version', version)

    return pretend


ROOT = Path(__file__).parents[1]
# It refuses versions of PyTorch that cannot export.
EXPORT = ROOT / 'tools' / 'deployment' / 'export.py'
MMDET = Requirement('mmdet', ('onedl-mmdetection', 'mmdet'), '3.3', '4', optional=True)
NEEDED = Requirement('no_such_module', ('onedl-needed', 'needed'), '1.2', '2')


def test_this_environment_passes():
    check_requirements()
    assert {r.module for r in REQUIREMENTS} == {'torch', 'mmengine', 'mmcv', 'mmpretrain', 'mmdet'}


@pytest.mark.parametrize('name', ('onedl_mmdetection', 'mmdet'))
@pytest.mark.parametrize('version', ('3.3.0', '3.5.1'))
def test_either_distribution_passes(install, name, version):
    install(**{name: version})
    check_requirement(MMDET)


def test_optional_library_may_be_missing(install):
    install()
    check_requirement(MMDET)


@pytest.mark.parametrize('version', ('1.2.0a0+29c30b1', '1.2.0a0+29c30b1.nv23.10', '1.9.0+cu118'))
def test_builds_of_vendors_count_as_their_release(install, version):
    install(needed=version)
    check_requirement(NEEDED)


@pytest.mark.parametrize('version', ('1.1.9', '1.1.0a0+29c30b1', '2.0.0', '2.0.0a0+29c30b1'))
def test_wrong_version_is_refused(install, version):
    install(needed=version)
    message = f'no_such_module >=1.2, <2, but {version} is installed: pip install "onedl-needed'
    with pytest.raises(ImportError, match=re.escape(message)):
        check_requirement(NEEDED)


@pytest.mark.parametrize('version', ('3.2.9', '4.0.0'))
def test_wrong_version_of_an_optional_library_warns(install, version):
    install(mmdet=version)
    message = re.escape(f'mmdet >=3.3, <4, but {version} is installed: pip install "onedl-mmdet')
    with pytest.warns(UserWarning, match=message):
        check_requirement(MMDET)


def test_missing_library_is_refused(install):
    install()
    with pytest.raises(ImportError, match=r'no_such_module >=1\.2, <2, which is not installed'):
        check_requirement(NEEDED)


def find(owner, name):
    """Something in a module or a class; raises an ImportError if it is not there."""
    with suppress(AttributeError):
        return getattr(owner, name)
    if not isinstance(owner, ModuleType):
        raise ImportError(name)
    return import_module(f'{owner.__name__}.{name}')


def imported(tree):
    """What a file imports from libraries, by the file's names."""
    for node in ast.walk(tree):
        for alias in getattr(node, 'names', ()):
            with suppress(ImportError):  # of what is optional
                if isinstance(node, ast.Import):
                    module = import_module(alias.name)
                    root = alias.name.partition('.')[0]
                    yield alias.asname or root, module if alias.asname else sys.modules[root]
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    yield alias.asname or alias.name, find(import_module(node.module), alias.name)


def missing_attributes(path):
    """Attributes of modules and classes that the libraries installed here lack."""
    missing = set()
    tree = ast.parse(path.read_text(encoding='utf-8'))
    known = dict(imported(tree))
    # What a file asks for with hasattr or getattr, it can do without.
    optional = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    for node in ast.walk(tree):
        names = []
        while isinstance(node, ast.Attribute):
            names.append(node.attr)
            node = node.value
        owner = known.get(node.id) if isinstance(node, ast.Name) else None
        while names and isinstance(owner, (ModuleType, type)):
            name = names.pop()
            try:
                owner = find(owner, name)
            except ImportError:
                if name not in optional:
                    missing.add(f'{path.name}: {owner.__name__}.{name}')
                break
    return sorted(missing)


def test_what_is_used_of_the_libraries_is_there():
    """PyTorch 2.1 lacks much of what later ones have."""
    paths = {*(ROOT / 'mmdia').rglob('*.py'), *(ROOT / 'tools').rglob('*.py')} - {EXPORT}
    paths = [path for path in paths if '.mim' not in path.parts]
    assert [missing for path in paths for missing in missing_attributes(path)] == []


def test_what_is_not_there_is_found(tmp_path):
    path = tmp_path / 'code.py'
    path.write_text(
        'import torch\n'
        'from torch import nn\n'
        'from torch.nn.modules import module as hooks\n'
        'torch.nn.Linear.forward, hooks._global_forward_hooks\n'
        "hasattr(torch, 'none1') and torch.none1(hooks.none2())\n"
        'nn.Linear.none3(torch.optim.none4.more)\n'
    )
    assert missing_attributes(path) == [
        'code.py: Linear.none3',
        'code.py: torch.nn.modules.module.none2',
        'code.py: torch.optim.none4',
    ]
