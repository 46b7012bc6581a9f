"""All interactions on a GPU: what a CPU computes, in mixed precision and in both memory formats."""

import copy

import pytest
import torch

from mmdia.testing import gradients, images

from .helpers import INTERACTIONS, slim_resnet

DEVICE = 'cuda'

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason='they need a GPU')
each_network = pytest.mark.parametrize('depth', (18, 50))
each_interaction = pytest.mark.parametrize('interaction', INTERACTIONS)
each_format = pytest.mark.parametrize(
    'memory_format', (torch.contiguous_format, torch.channels_last), ids=('default', 'channels')
)


def all_close(ours, expected, rtol, atol):
    """Compare tensors by their names, wherever they are."""
    assert ours.keys() == expected.keys()
    for name, value in ours.items():
        if value is None:
            assert expected[name] is None
        else:
            message = lambda text, name=name: f'{name}: {text}'  # noqa: E731
            torch.testing.assert_close(
                value.cpu(), expected[name], rtol=rtol, atol=atol, msg=message
            )


@each_format
@each_network
@each_interaction
def test_a_gpu_computes_what_a_cpu_does(interaction, depth, memory_format):
    model = slim_resnet(interaction, depth, zero_init_residual=False).double()
    twin = copy.deepcopy(model).to(DEVICE, memory_format=memory_format)
    x = images(4, dtype=torch.float64)
    on_gpu = x.to(DEVICE, memory_format=memory_format)
    for training in (True, False):
        outputs = model.train(training)(x)
        for level, expected in zip(twin.train(training)(on_gpu), outputs, strict=True):
            assert level.device.type == DEVICE
            torch.testing.assert_close(level.cpu(), expected, rtol=1e-9, atol=1e-9)
    all_close(gradients(twin.train(), on_gpu), gradients(model.train(), x), 1e-7, 1e-8)
    all_close(dict(twin.named_buffers()), dict(model.named_buffers()), 1e-9, 1e-9)


@each_format
@pytest.mark.parametrize('dtype', (torch.float16, torch.bfloat16))
@each_network
@each_interaction
def test_mixed_precision_trains(interaction, depth, dtype, memory_format):
    """A step with a scaled loss: finite gradients in single precision, and a change."""
    model = slim_resnet(interaction, depth, zero_init_residual=False)
    model = model.to(DEVICE, memory_format=memory_format).train()
    before = copy.deepcopy(model.state_dict())
    x = images(4).to(DEVICE, memory_format=memory_format)
    scaler = torch.amp.GradScaler(DEVICE, enabled=dtype == torch.float16, init_scale=256.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with torch.autocast(DEVICE, dtype):
        (level,) = model(x)
    assert level.dtype == dtype and level.is_contiguous(memory_format=memory_format)
    scaler.scale(level.float().square().mean()).backward()
    scaler.unscale_(optimizer)
    for name, p in model.named_parameters():
        assert p.grad is None or (p.grad.dtype == torch.float32 and p.grad.isfinite().all()), name
    scaler.step(optimizer)
    assert any(not torch.equal(value, before[name]) for name, value in model.named_parameters())


@torch.no_grad()
@each_network
@each_interaction
def test_mixed_precision_is_close_to_single(interaction, depth):
    model = slim_resnet(interaction, depth).to(DEVICE).eval()
    x = images(4).to(DEVICE)
    (expected,) = model(x)
    for dtype, tolerance in ((torch.float16, 0.02), (torch.bfloat16, 0.1)):
        with torch.autocast(DEVICE, dtype):
            (level,) = model(x)
        assert (level - expected).norm() < tolerance * expected.norm()


@pytest.mark.parametrize('interaction', ('mmdia.DIALSTM', 'mmdia.DLALight', 'mmdia.RLA'))
def test_compiled_networks_compute_the_same(interaction):
    torch.compiler.reset()
    model = slim_resnet(interaction, zero_init_residual=False).double().to(DEVICE).train()
    twin = copy.deepcopy(model)
    x = images(4, dtype=torch.float64).to(DEVICE)
    expected = {name: grad.cpu() for name, grad in gradients(twin, x).items()}
    model.compile()
    all_close(gradients(model, x), expected, 1e-7, 1e-8)
