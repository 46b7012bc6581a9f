"""Tests with several stacks of libraries, each with every Python that is found: ``make matrix``.

``nox --list`` shows the sessions and ``nox --session classic-3.11`` runs one. What follows ``--``
goes to pytest in the place of the tests below: ``nox -- tests`` runs all.

MMCV's operators are compiled only with ``MMCV_WITH_OPS=1``; without them, the tests of detectors
are left out. The sessions with pinned versions take wheels of MMCV from the folder ``WHEELHOUSE``.
"""

import os
from pathlib import Path
from typing import Union

import nox

nox.options.error_on_missing_interpreters = False  # their sessions are skipped

WITH_OPS = os.environ.get('MMCV_WITH_OPS', '0')
WHEELHOUSE = os.environ.get('WHEELHOUSE')
WHEELS = ('--find-links', WHEELHOUSE) if WHEELHOUSE else ()
MAINTAINED = ('--requirement', 'requirements/openmmlab.txt')

# About 8 minutes of one core in all.
CLASSIFICATION = ('tests',)
DETECTION = ('tests',)


@nox.session(python=('3.10', '3.11', '3.12', '3.13'))
def pinned(session: nox.Session) -> None:
    """The maintained OpenMMLab libraries, at the versions of ``make setup``."""
    install(session, 'requirements/constraints.txt', *WHEELS, *MAINTAINED)
    test(session)


@nox.session(python=('3.10', '3.11', '3.12', '3.13'))
def newest(session: nox.Session) -> None:
    """The maintained OpenMMLab libraries with the newest PyTorch."""
    lines = Path('requirements/constraints.txt').read_text().splitlines()
    constraints = Path(session.create_tmp(), 'newest.txt')
    constraints.write_text('\n'.join(line for line in lines if not line.startswith('torch')))
    install(session, constraints, *MAINTAINED)
    test(session)


@nox.session(python=('3.10', '3.11'))
def classic(session: nox.Session) -> None:
    """The last releases of OpenMMLab itself, with the PyTorch of their time."""
    mmcv = 'mmcv' if WITH_OPS == '1' else 'mmcv-lite'
    libraries = ('mmengine', mmcv, 'mmpretrain', 'mmdet')
    install(session, 'requirements/classic.txt', *WHEELS, *libraries)
    test(session)


def install(session: nox.Session, constraints: Union[str, Path], *libraries: str) -> None:
    """Install PyTorch, the OpenMMLab libraries and mmdia, as the Makefile does, which says why.

    Args:
        session (nox.Session): The session.
        constraints (str | Path): The file with the versions.
        *libraries (str): The OpenMMLab libraries, and further options of pip.
    """
    pip = ('--constraint', str(constraints))
    session.install(*pip, '--requirement', 'requirements/torch.txt')
    # MMCV in pip's cache may be compiled for another PyTorch, or lack its operators.
    pip = (*pip, '--no-build-isolation', '--no-cache-dir')
    session.install(*pip, *libraries, env=dict(MMCV_WITH_OPS=WITH_OPS))
    session.install(*pip, '--editable', '.[analysis,demo]', 'pytest', 'timm')
    # The other build of OpenCV opens windows, for which it needs the system's OpenGL.
    session.install(*pip, '--force-reinstall', '--no-deps', 'opencv-python-headless')


def test(session: nox.Session) -> None:
    """Run the tests for which the environment has all that they need."""
    has_ops = any(Path(session.virtualenv.location).rglob('mmcv/_ext.*'))
    tests = CLASSIFICATION + DETECTION if has_ops else CLASSIFICATION
    session.run('python', '-m', 'pytest', *(session.posargs or tests))
