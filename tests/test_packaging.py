"""What an installed package brings along, and what MIM finds of it."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import mmdia

ROOT = Path(__file__).parents[1]
PIP = [sys.executable, '-m', 'pip', '--disable-pip-version-check']


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp('wheel')
    source = folder / 'source'
    ignore = shutil.ignore_patterns('.*', 'work_dirs', 'data', 'build', '*.egg-info', '__pycache__')
    shutil.copytree(ROOT, source, ignore=ignore)
    command = [*PIP, 'wheel', '--no-deps', '--no-build-isolation', '--wheel-dir', folder, source]
    subprocess.run(command, check=True, timeout=200)
    (path,) = folder.glob('*.whl')
    return path


@pytest.fixture(scope='module')
def mim(wheel, tmp_path_factory):
    """Run MIM where the wheel is installed, in a folder that is not the source's."""
    site = tmp_path_factory.mktemp('site')
    subprocess.run([*PIP, 'install', '--quiet', '--no-deps', '--target', site, wheel], check=True)

    def run(*args):
        return subprocess.run(
            [sys.executable, '-m', 'mim', *args],
            cwd=tmp_path_factory.mktemp('elsewhere'),
            env={**os.environ, 'PYTHONPATH': str(site)},
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


def test_source_tree_has_configs_and_tools_where_they_are_looked_for():
    mim = Path(mmdia.__path__[0], '.mim')
    assert all(path.is_symlink() for path in mim.iterdir())
    assert (mim / 'configs').resolve() == ROOT / 'configs'
    assert (mim / 'tools').resolve() == ROOT / 'tools'
    assert (mim / 'model-index.yml').resolve() == ROOT / 'model-index.yml'


def test_editable_install_wins_over_the_folder_of_a_clone(tmp_path):
    """Such a folder beside a script is a package without content to Python."""
    (tmp_path / 'mmdia').mkdir()
    find = "from importlib.util import find_spec; print(find_spec('mmdia').origin)"
    env = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    command = [sys.executable, '-c', find]
    found = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert found.stdout == f'{mmdia.__file__}\n', found.stderr


def test_wheel_contains_configs_and_tools(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ('configs', 'tools'):
        for path in (ROOT / folder).rglob('*.py'):
            assert f'mmdia/.mim/{path.relative_to(ROOT)}' in names
    assert 'mmdia/.mim/model-index.yml' in names
    # data that modules read beside them, and scripts that are no Python
    assert {'mmdia/checkpoints/index.yml', 'mmdia/py.typed'} <= names
    assert 'mmdia/.mim/configs/rows.csv' in names
    for path in (*(ROOT / 'tools').rglob('*.sh'), *(ROOT / 'configs').rglob('*.yml')):
        assert f'mmdia/.mim/{path.relative_to(ROOT)}' in names
    assert not any(name.startswith(('docs/', 'tests/')) for name in names)


def test_mim_trains_a_config_of_the_wheel_by_its_name(mim):
    options = [f'{part}_dataloader.dataset.indices=16' for part in ('train', 'val')]
    options.append('train_cfg.max_epochs=1')
    run = mim('train', 'mmdia', 'dia-resnet18_digits.py', '--gpus', '0', '--cfg-options', *options)
    assert run.returncode == 0, run.stdout + run.stderr
    # the copy beside the metadata
    assert 'dist-info' in run.stdout.partition('we find the config file in codebase mmdia')[2]
    assert 'Training finished successfully' in run.stdout


def test_mim_shows_the_models_of_the_wheel(mim):
    run = mim('search', 'mmdia', '--config', 'dia-resnet50_8xb32_in1k')
    assert run.returncode == 0, run.stderr
    assert 'configs/dia/dia-resnet50_8xb32_in1k.py' in run.stdout
    assert '28358052' in run.stdout  # Parameters of the metafile


# Stands for the environment's Python: nothing is installed, and pip says which Ninja it would find.
PYTHON_OF_MAKE = """#!/bin/sh
case "$*" in
    *' show '*) exit 1 ;;
    *openmmlab.txt*) command -v ninja > "$NINJA_FOUND" ;;
esac
"""


def test_mmcv_is_compiled_with_the_ninja_of_the_environment(tmp_path):
    """Without one, PyTorch compiles file by file."""
    venv = tmp_path / 'environment'
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', venv], check=True)
    (venv / 'bin' / 'python').unlink()
    for name, text in (('python', PYTHON_OF_MAKE), ('ninja', '#!/bin/sh\n')):
        (venv / 'bin' / name).write_text(text)
        (venv / 'bin' / name).chmod(0o755)
    for name in ('python.done', 'torch.done'):
        (venv / name).touch()
    found = tmp_path / 'found.txt'
    env = {**os.environ, 'NINJA_FOUND': str(found)}
    command = ['make', f'VENV={venv}', f'{venv}/openmmlab.done']
    subprocess.run(command, cwd=ROOT, env=env, check=True, timeout=60)
    assert Path(found.read_text().strip()) == venv / 'bin' / 'ninja'
