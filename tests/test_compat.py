"""Versions are checked at import, whatever the distribution's name."""

import re
from importlib import metadata

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


@pytest.mark.parametrize('version', ('1.1.9', '2.0.0'))
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
