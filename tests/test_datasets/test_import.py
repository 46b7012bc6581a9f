"""A library that cannot be imported, such as MMDetection without MMCV's operators, is left out."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import mmdia.apis
import mmdia.datasets
from mmdia.registry import DATASETS, MODELS
assert mmdia.datasets.__all__ == ['{dataset}'], mmdia.datasets.__all__
assert DATASETS.get('{dataset}') is mmdia.datasets.{dataset}
assert [registry.scope for registry in MODELS.surrounding()] == ['{other}']
"""


@pytest.mark.parametrize(
    ('unusable', 'other', 'dataset'),
    (('mmpretrain', 'mmdet', 'ShapesDataset'), ('mmdet', 'mmpretrain', 'DigitsDataset')),
)
def test_one_library_is_enough(unusable, other, dataset, tmp_path):
    pytest.importorskip(f'{other}.models')
    (tmp_path / f'{unusable}.py').write_text('import no_such_module')
    subprocess.run(
        [sys.executable, '-c', SCRIPT.format(other=other, dataset=dataset)],
        env={**os.environ, 'PYTHONPATH': str(tmp_path)},
        check=True,
        timeout=120,
    )
