"""Gates keep their precision where the rest of the network gives it up."""

import pytest
import torch
from torch import nn

from mmdia.models.utils import full_precision, global_avg_pool, like_parameters

from ..helpers import INTERACTIONS, needs_compiler, slim_resnet


@pytest.mark.parametrize('dtype', (torch.float16, torch.bfloat16, torch.float32, torch.float64))
def test_pooling_accumulates_in_single_precision_or_better(dtype):
    x = torch.full((1, 2, 64, 64), 1.0, dtype=dtype)
    x[0, 1, 0, 0] = 2
    pooled = global_avg_pool(x)
    assert pooled.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    # One pixel in 4096 is lost in half precision.
    assert pooled.tolist() == [[1.0, 1 + 2**-12]]


def tensors(state):
    """All tensors of a state, whatever its structure."""
    if isinstance(state, torch.Tensor):
        return [state]
    return [t for part in state or () for t in tensors(part)]


@torch.no_grad()
@pytest.mark.parametrize('interaction', INTERACTIONS)
def test_gates_ignore_autocast(interaction):
    (*_, module) = slim_resnet(interaction).interactions()
    channels = module.channels if module.scope == 'stage' else module.channels[0]
    branch, identity = torch.randn(2, 2, channels, 6, 5, dtype=torch.bfloat16)
    _, expected = module(branch.float(), identity.float(), None, 0)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        out, state = module(branch, identity, None, 0)
    assert out.dtype == torch.bfloat16
    for t in tensors(state):
        is_map = t.shape[-2:] == branch.shape[-2:]
        assert t.dtype == (torch.bfloat16 if is_map else torch.float32)
    if interaction in ('mmdia.DIALSTM', 'mmdia.RLA'):
        # Their gates see the branch alone, which is the same in both runs.
        torch.testing.assert_close(tensors(state), tensors(expected), rtol=1e-6, atol=1e-7)


@needs_compiler
def test_full_precision_when_compiled():
    def multiply(x):
        with full_precision(x):
            return x @ x

    torch.compiler.reset()
    compiled = torch.compile(multiply, fullgraph=True, backend='eager')
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert compiled(torch.rand(2, 2)).dtype == torch.float32


@pytest.mark.parametrize('dtype', (torch.float16, torch.float64))
def test_weights_that_are_no_parameters(dtype):
    """Views of one flat parameter, as FSDP has them."""
    module = nn.Sequential(nn.ReLU(), nn.Linear(3, 2).to(dtype))
    weight = module[1].weight.detach()
    del module[1].weight, module[1].bias
    module[1].weight = weight
    assert not list(module.parameters())
    assert like_parameters(module, torch.ones(3)).dtype == dtype
    assert like_parameters(nn.ReLU(), torch.ones(3)).dtype == torch.float32


@pytest.mark.parametrize('interaction', [i for i in INTERACTIONS if 'MRLA' in i or 'DLA' in i])
def test_queries_beside_norms_of_another_dtype(interaction):
    """As under FSDP with mixed precision, which leaves norms in single precision."""
    unit = slim_resnet(interaction).layer1.interaction.attentions[0]
    for conv in (unit.query, unit.key):
        weight = conv.weight.detach().bfloat16()
        del conv.weight
        conv.weight = weight
    assert {x.dtype for x in unit.query_and_key(torch.rand(2, 8))} == {torch.bfloat16}
