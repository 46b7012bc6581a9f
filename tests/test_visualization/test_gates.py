import pytest
import torch

from mmdia.models import DIAResNet, ResNet
from mmdia.visualization import plot_gates, record_gates


def small(cls=DIAResNet, **kwargs):
    return cls(18, base_channels=16, small_stem=True, **kwargs)


def hooks_of(model):
    return sum(len(module._forward_hooks) for module in model.modules())


@pytest.fixture
def images():
    return torch.rand(3, 3, 33, 40, generator=torch.Generator().manual_seed(0))


def test_gates_of_every_block(images):
    gates = record_gates(small(ratio=4).eval(), images)
    assert list(gates) == ['layer1', 'layer2', 'layer3', 'layer4']
    for stage, channels in zip(gates.values(), (16, 32, 64, 128)):
        assert stage.shape == (2, 3, channels)
        assert 0 < stage.min() and stage.max() < 1
        assert not torch.equal(stage[0], stage[1])


def test_they_are_what_multiplies_the_branch(images):
    model = small(ratio=4, out_indices=(0,)).eval()
    gates = record_gates(model, images)['layer1']
    with torch.no_grad():
        x = model.act(model.bn1(model.conv1(images)))
        for block, gate in zip(model.layer1, gates):
            x = torch.relu(block.shortcut(x) + block.branch(x) * gate[:, :, None, None])
        torch.testing.assert_close(x, model(images)[0])


def test_identity_init_shows_gates_of_one(images):
    model = small(ratio=4, identity_init=True)
    model.init_weights()
    for stage in record_gates(model.eval(), images).values():
        torch.testing.assert_close(stage, torch.ones_like(stage))


def test_the_model_is_left_as_it_was(images):
    model = small(ratio=4)
    before = model.eval()(images)[0]
    gates = [record_gates(model, images)['layer4'] for _ in range(2)]
    assert torch.equal(*gates)
    assert not gates[0].requires_grad
    assert hooks_of(model) == 0
    assert torch.equal(model(images)[0], before)


def test_hooks_go_also_when_the_model_fails():
    model = small(ratio=4)
    with pytest.raises(RuntimeError):
        record_gates(model, torch.rand(1, 5, 32, 32))
    assert hooks_of(model) == 0


def test_a_backbone_within_a_model(images):
    model = torch.nn.Sequential(small(ratio=4).eval())
    assert next(iter(record_gates(model, images))) == '0.layer1'


def test_no_gates(images):
    with pytest.raises(ValueError, match='no stage of the ResNet has a recurrent gate'):
        record_gates(small(ResNet), images)


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
