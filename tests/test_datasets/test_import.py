import subprocess
import sys

import pytest

SCRIPT = """
import sys
sys.modules['{missing}'] = None
import mmdia.datasets
assert mmdia.datasets.__all__ == ['{dataset}'], mmdia.datasets.__all__
"""


@pytest.mark.parametrize(
    ('missing', 'dataset'), [('mmpretrain', 'ShapesDataset'), ('mmdet', 'DigitsDataset')]
)
def test_one_library_is_enough(missing, dataset):
    other = {'mmpretrain': 'mmdet', 'mmdet': 'mmpretrain'}[missing]
    pytest.importorskip(other)
    script = SCRIPT.format(missing=missing, dataset=dataset)
    subprocess.run([sys.executable, '-c', script], check=True)
