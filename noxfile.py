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

WITH_OPS = os.environ.get('MMCV_WITH_OPS') == '1'
WHEELHOUSE = os.environ.get('WHEELHOUSE')
WHEELS = ('--find-links', WHEELHOUSE) if WHEELHOUSE else ()
MAINTAINED = ('--requirement', 'requirements/openmmlab.txt')

# Where versions differ: what is used of the libraries, files, training, and the runs of tools.
CLASSIFICATION = (
    'tests/test_compat.py',
    'tests/test_checkpoints',
    'tests/test_cli/test_command_line.py',
    'tests/test_cli/test_resume.py',
    'tests/test_datasets/test_digits.py',
    'tests/test_datasets/test_import.py',
    'tests/test_engine/test_attention_hook.py',
    'tests/test_engine/test_compile.py',
    'tests/test_engine/test_interruption.py::test_every_iteration_has_random_numbers_of_its_own',
    'tests/test_engine/test_overrides.py::test_line',
    'tests/test_engine/test_signals.py',
    'tests/test_models/test_interactions.py',
    'tests/test_models/test_pretrained.py',
    'tests/test_models/test_restatements.py',
    'tests/test_models/test_trunks.py',
    'tests/test_tools.py::test_train_resume_and_test[classification]',
)
# What imports MMDetection, and so needs the operators of MMCV.
DETECTION = (
    'tests/test_apis',
    'tests/test_cli/test_data_check.py',
    'tests/test_engine/test_channels_last.py',
    'tests/test_engine/test_overrides.py',
    'tests/test_models/test_attach.py',
    'tests/test_models/test_drop_in.py',
    'tests/test_models/test_whole_models.py',
    'tests/test_registry.py',
)


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
    mmcv = 'mmcv' if WITH_OPS else 'mmcv-lite'
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
    # MMCV compiles its operators where it finds PyTorch. In pip's cache it may be compiled for
    # another PyTorch, or lack them.
    build = ('--no-cache-dir', '--no-build-isolation') if WITH_OPS else ('--no-cache-dir',)
    session.install(*pip, *build, *libraries)
    # As a wheel: the classic MMEngine does not find configs of an editable install.
    session.install(*pip, '.[analysis,demo]', 'pytest', 'pytest-timeout', 'timm')
    # The other build of OpenCV opens windows, for which it needs the system's OpenGL.
    session.install(*pip, '--force-reinstall', '--no-deps', 'opencv-python-headless')


def test(session: nox.Session) -> None:
    """Run the tests for which the environment has all that they need."""
    has_ops = any(Path(session.virtualenv.location).rglob('mmcv/_ext.*'))
    tests = CLASSIFICATION + DETECTION if has_ops else CLASSIFICATION
    session.run('python', '-m', 'pytest', *(session.posargs or tests))
