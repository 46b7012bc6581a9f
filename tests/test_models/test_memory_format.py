"""Maps and their gradients keep the memory format of the images."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mmdia.models.utils import as_factor, sum_pixels

from ..helpers import INTERACTIONS, slim_resnet

CHANNELS_LAST = torch.channels_last


class ContiguousMaps(TorchDispatchMode):
    """Collects the operators that write a map with its pixels innermost in memory."""

    def __init__(self, sizes):
        super().__init__()
        self.sizes = sizes
        self.found = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        outputs = func(*args, **(kwargs or {}))
        for x in outputs if isinstance(outputs, (tuple, list)) else (outputs,):
            is_map = isinstance(x, torch.Tensor) and x.dim() == 4 and x.shape[2:] in self.sizes
            # Views of fewer numbers, such as expanded ones, are not written.
            if is_map and 0 not in x.stride() and x.shape[1] > 1:
                if not x.is_contiguous(memory_format=CHANNELS_LAST):
                    self.found.add((str(func), tuple(x.shape)))
        return outputs


@pytest.mark.parametrize('mixed', (False, True), ids=('float32', 'bfloat16'))
@pytest.mark.parametrize('interaction', INTERACTIONS)
def test_no_map_falls_back(interaction, mixed):
    model = slim_resnet(interaction, out_indices=(0, 1, 2, 3)).to(memory_format=CHANNELS_LAST)
    # No other tensor has such sides.
    x = torch.randn(3, 3, 64, 96).to(memory_format=CHANNELS_LAST)
    sizes = [torch.Size((64 // s, 96 // s)) for s in (1, 2, 4, 8, 16, 32)]
    with ContiguousMaps(sizes) as maps:
        with torch.autocast('cpu', torch.bfloat16, enabled=mixed):
            levels = model(x)
        grads = [torch.randn_like(level) for level in levels]
        torch.autograd.backward(levels, grads)
    assert not maps.found


@pytest.mark.parametrize('channels', (3, 8, 40))
@pytest.mark.parametrize('memory_format', (torch.contiguous_format, CHANNELS_LAST))
@pytest.mark.parametrize('dtype', (torch.float16, torch.bfloat16, torch.float32))
def test_factors_and_sums_are_those_of_autograd(channels, memory_format, dtype):
    x = torch.randn(2, channels, 5, 7).to(dtype, memory_format=memory_format).requires_grad_()
    weights = torch.randn(2, channels, requires_grad=True)
    total = sum_pixels(x)
    expected = x.float().sum((2, 3))
    torch.testing.assert_close(total, expected)
    for first, second in zip(
        torch.autograd.grad((total * weights).square().sum(), (x, weights), create_graph=True),
        torch.autograd.grad((expected * weights).square().sum(), (x, weights), create_graph=True),
    ):
        torch.testing.assert_close(first, second)
        # and of the second order
        torch.testing.assert_close(
            torch.autograd.grad(first.float().square().sum(), x, retain_graph=True)[0],
            torch.autograd.grad(second.float().square().sum(), x, retain_graph=True)[0],
        )
    for gate in (weights, weights[:, :1]):
        product = x * as_factor(gate, x)
        assert torch.equal(product, x * gate.to(dtype)[:, :, None, None])
        assert product.stride() == x.stride()
