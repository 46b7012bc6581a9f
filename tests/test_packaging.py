"""What an installed package brings along."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import mmdia

ROOT = Path(__file__).parents[1]


def test_editable_install_links_to_configs_and_tools():
    mim = Path(mmdia.__path__[0], '.mim')
    assert (mim / 'configs').resolve() == ROOT / 'configs'
    assert (mim / 'tools').resolve() == ROOT / 'tools'
    assert (mim / 'model-index.yml').resolve() == ROOT / 'model-index.yml'


def test_wheel_contains_configs_and_tools(tmp_path):
    source = tmp_path / 'source'
    ignore = shutil.ignore_patterns('.*', 'work_dirs', 'data', 'build', '*.egg-info', '__pycache__')
    shutil.copytree(ROOT, source, ignore=ignore)
    command = [sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation']
    subprocess.run([*command, '--wheel-dir', tmp_path, source], check=True, timeout=200)

    (wheel,) = tmp_path.glob('*.whl')
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ('configs', 'tools'):
        for path in (ROOT / folder).rglob('*.py'):
            assert f'mmdia/.mim/{path.relative_to(ROOT)}' in names
    assert 'mmdia/.mim/model-index.yml' in names
    # data that modules read beside them, and scripts that are no Python
    assert 'mmdia/checkpoints/index.yml' in names
    for path in (*(ROOT / 'tools').rglob('*.sh'), *(ROOT / 'configs').rglob('*.yml')):
        assert f'mmdia/.mim/{path.relative_to(ROOT)}' in names
    assert not any(name.startswith('tests/') for name in names)
