"""Checkpointing under the compiler; eagerly, every method's is in the sweep."""

import torch

from ..helpers import randomize, slim_resnet


def test_compiled_checkpointing_changes_nothing():
    torch.compiler.reset()
    plain = randomize(slim_resnet('mmdia.DIALSTM')).double().train()
    saving = slim_resnet('mmdia.DIALSTM', with_cp=True).double().train()
    saving.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)

    plain(x)[0].square().mean().backward()
    compiled = torch.compile(saving, fullgraph=True, backend='aot_eager')
    compiled(x)[0].square().mean().backward()

    for ours, expected in zip(saving.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, expected.grad, rtol=1e-10, atol=1e-12)
    for ours, expected in zip(saving.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=0)
