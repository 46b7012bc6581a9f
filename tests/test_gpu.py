"""All interactions on a GPU: what a CPU computes, in mixed precision and in both memory formats."""

import copy

import pytest
import torch
from torch import distributed, nn

from mmdia.testing import gradients, images, settle

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


def network_with_gradients(interaction, depth):
    """A network in double precision, images, and the gradients of a copy, moved to the CPU."""
    model = slim_resnet(interaction, depth, zero_init_residual=False).double().to(DEVICE).train()
    x = images(4, dtype=torch.float64).to(DEVICE)
    expected = gradients(copy.deepcopy(model), x)
    return model, x, {name: grad.cpu() for name, grad in expected.items()}


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
    model, x, expected = network_with_gradients(interaction, 18)
    model.compile()
    all_close(gradients(model, x), expected, 1e-7, 1e-8)


@pytest.fixture
def no_waiting():
    """An operator that waits for the GPU raises an error."""
    torch.cuda.set_sync_debug_mode('error')
    yield
    torch.cuda.set_sync_debug_mode('default')


@pytest.fixture
def one_process(tmp_path):
    """A group of one process, as DistributedDataParallel needs it."""
    distributed.init_process_group('nccl', f'file://{tmp_path}/store', rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@each_network
@each_interaction
def test_nothing_waits_for_the_gpu(interaction, depth, request):
    """So that the CPU is ahead, and the GPU never idle."""
    model = slim_resnet(interaction, depth).to(DEVICE)
    x = images(4).to(DEVICE)
    for training in (True, False):
        gradients(model.train(training), x)  # libraries may wait at the first call
    request.getfixturevalue('no_waiting')
    for training in (True, False):
        gradients(model.train(training), x)


@each_network
@each_interaction
def test_deterministic_training(interaction, depth):
    """No operator that may differ from run to run."""
    torch.use_deterministic_algorithms(True)
    model = slim_resnet(interaction, depth).to(DEVICE).train()
    x = images(4).to(DEVICE)
    expected = {name: grad.cpu() for name, grad in gradients(copy.deepcopy(model), x).items()}
    all_close(gradients(model, x), expected, 0, 0)


@each_network
@each_interaction
def test_cuda_graphs(interaction, depth):
    """A recorded step computes the same as one that is launched operator by operator."""
    model, x, expected = network_with_gradients(interaction, depth)
    torch.cuda.make_graphed_callables(model, (x,))
    for _ in range(2):
        model.zero_grad()
        all_close(gradients(model, x), expected, 1e-7, 1e-8)


@torch.no_grad()
@pytest.mark.parametrize('dtype', (torch.float16, torch.bfloat16))
@each_network
@each_interaction
def test_networks_in_half_precision(interaction, depth, dtype):
    """Converted as a whole, without autocast."""
    model = settle(slim_resnet(interaction, depth)).to(DEVICE)
    x = images(4).to(DEVICE)
    (expected,) = model(x)
    (level,) = model.to(dtype)(x.to(dtype))
    assert level.dtype == dtype
    tolerance = 0.02 if dtype == torch.float16 else 0.1
    assert (level.float() - expected).norm() < tolerance * expected.norm()


@each_network
@each_interaction
def test_activations_on_the_cpu(interaction, depth):
    """Maps that PyTorch moves to the CPU until the backward pass."""
    model, x, expected = network_with_gradients(interaction, depth)
    with torch.autograd.graph.save_on_cpu(pin_memory=True):
        ours = gradients(model, x)
    all_close(ours, expected, 1e-9, 1e-9)


@each_network
@each_interaction
def test_checkpointed_blocks_in_mixed_precision(interaction, depth):
    """Their gradients are those of others, but for rounding."""
    model = slim_resnet(interaction, depth).to(DEVICE).train()
    twin = slim_resnet(interaction, depth, with_cp=True).to(DEVICE).train()
    twin.load_state_dict(model.state_dict())
    x = images(4).to(DEVICE)
    with torch.autocast(DEVICE, torch.float16):
        expected, ours = (
            torch.cat([grad.flatten() for grad in gradients(network, x).values()])
            for network in (model, twin)
        )
    assert ours.any() and (ours - expected).norm() < 0.02 * expected.norm()


@each_network
@each_interaction
def test_no_images(interaction, depth):
    model = slim_resnet(interaction, depth).to(DEVICE)
    x = torch.zeros(0, 3, 32, 35, device=DEVICE)
    (level,) = model.train()(x)
    level.sum().backward()
    assert not any(p.grad.any() for p in model.parameters())
    assert level.shape == model.eval()(x)[0].shape


@each_network
@each_interaction
def test_data_parallel(interaction, depth, one_process):
    model, x, expected = network_with_gradients(interaction, depth)
    gradients(nn.parallel.DistributedDataParallel(model, device_ids=[0]), x)
    all_close({name: p.grad for name, p in model.named_parameters()}, expected, 1e-7, 1e-8)
