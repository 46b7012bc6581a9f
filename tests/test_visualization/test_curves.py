import pytest
from mmengine.visualization import LocalVisBackend

from mmdia.visualization import plot_curves, read_scalars


@pytest.fixture
def curves(tmp_path):
    """What MMEngine writes for two steps of training and one of validation."""
    backend = LocalVisBackend(str(tmp_path))
    backend.add_scalars({'loss': 2.0, 'lr': 0.1}, step=10)
    backend.add_scalars({'loss': 1.5, 'lr': 0.2}, step=20)
    backend.add_scalars({'accuracy/top1': 50.0}, step=1)
    return read_scalars(tmp_path / 'scalars.json')


def test_read_scalars(curves):
    assert curves['loss'] == [(10, 2.0), (20, 1.5)]
    assert curves['accuracy/top1'] == [(1, 50.0)]
    assert 'step' not in curves


def test_plot_curves(curves, tmp_path):
    names = ('loss', 'accuracy/top1')
    figure = plot_curves({'a': curves, 'b': curves}, {'a': names, 'b': names})
    assert [panel.get_ylabel() for panel in figure.axes] == [*names, *names]
    assert [panel.get_xlabel() for panel in figure.axes[:2]] == ['iteration', 'epoch']
    assert figure.axes[0].lines[0].get_ydata().tolist() == [2.0, 1.5]
    figure.savefig(tmp_path / 'curves.png')
    assert (tmp_path / 'curves.png').stat().st_size > 1000


def test_missing_scalar_leaves_its_panel_empty(curves):
    figure = plot_curves({'a': curves}, {'a': ('mAP', 'loss')})
    empty, loss = (axes.lines[0].get_ydata() if axes.lines else () for axes in figure.axes)
    assert len(empty) == 0 and len(loss) > 0
