import torch

from mmdia.visualization import plot_gates


def test_heat_maps(tmp_path):
    gates = {'layer1': torch.rand(2, 10, 16), 'layer2': torch.rand(3, 10, 32)}
    figure = plot_gates(gates)
    first, second, colorbar = figure.axes
    assert [first.get_title(), second.get_title()] == list(gates)
    assert first.images[0].get_array().shape == (20, 16)
    assert second.images[0].get_array().shape == (30, 32)
    assert len(second.lines) == 2  # between the blocks
    assert first.images[0].get_clim() == second.images[0].get_clim() == (0, 1)
    assert colorbar.get_ylabel() == 'gate'
    figure.savefig(tmp_path / 'gates.png')
    assert (tmp_path / 'gates.png').stat().st_size > 1000
