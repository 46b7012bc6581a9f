"""Build script; see pyproject.toml for the settings of tools."""

import shutil
from pathlib import Path

from setuptools import Distribution, find_packages, setup
from setuptools.command.build_py import build_py

# setuptools has it since 70.1, the package wheel before.
bdist_wheel = Distribution().get_command_class('bdist_wheel')

ROOT = Path(__file__).resolve().parent
FOR_MIM = ('configs', 'tools', 'model-index.yml')


class BuildWithConfigs(build_py):
    """Copies configs and tools into ``mmdia/.mim``, where MIM and MMEngine look.

    In the source tree there are links, which serve editable installs and bare clones.
    """

    def run(self) -> None:
        """Build the package, then add what MIM needs."""
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib, 'mmdia', '.mim')
        if target.is_dir():
            shutil.rmtree(target)
        target.mkdir(parents=True)
        for name in FOR_MIM:
            self._place(ROOT / name, target / name)

    def _place(self, source: Path, target: Path) -> None:
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns('__pycache__'))
        else:
            shutil.copy2(source, target)


class WheelForMim(bdist_wheel):
    """Gives wheels a second ``.mim``, in the folder of their metadata.

    MIM looks for it in the folder of the first file that a distribution lists.
    In one that is named as its package, that is a file of the metadata.
    """

    def write_wheelfile(self, wheelfile_base: str, *args, **kwargs) -> None:
        """Complete the metadata, a folder beside the package's."""
        super().write_wheelfile(wheelfile_base, *args, **kwargs)
        mim = Path(self.bdist_dir, 'mmdia', '.mim')
        if mim.is_dir():  # not in an editable install
            shutil.copytree(mim, Path(wheelfile_base, '.mim'))


def read_version() -> str:
    """The version, without importing the package and all that it needs."""
    scope: dict = {}
    exec((ROOT / 'mmdia' / 'version.py').read_text(), scope)
    return scope['__version__']


def read_requirements(name: str) -> list:
    """Requirements listed in a file of ``requirements/``."""
    lines = (ROOT / 'requirements' / name).read_text().splitlines()
    return [line for line in lines if line and not line.startswith(('#', '-'))]


setup(
    name='mmdia',
    version=read_version(),
    description='Shared-attention ResNets (DIA, DLA, RLA) for OpenMMLab',
    long_description=(ROOT / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    author='mmdia contributors',
    license='Apache-2.0',
    keywords='computer vision, image classification, object detection, attention, ResNet',
    # An editable install then puts this folder on Python's path. It would use an import hook,
    # and scripts beside a clone would import the clone's outer folder as an empty package.
    package_dir={'': '.'},
    packages=find_packages(include=('mmdia', 'mmdia.*')),
    package_data={
        'mmdia': ['py.typed'],
        'mmdia.checkpoints': ['index.yml', 'weights/*.pth'],
        'mmdia.results': ['report.html'],
    },
    python_requires='>=3.10',
    install_requires=read_requirements('runtime.txt'),
    extras_require={
        name: read_requirements(f'{name}.txt')
        for name in ('analysis', 'demo', 'dev', 'docs', 'export')
    },
    cmdclass={'build_py': BuildWithConfigs, 'bdist_wheel': WheelForMim},
    zip_safe=False,
)
