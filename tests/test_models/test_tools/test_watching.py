"""Tools that watch modules: hooks of all kinds, patched methods, and what is built of them."""

from contextlib import contextmanager

import pytest
import torch
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import (
    CheckpointWrapper,
    checkpoint_wrapper,
)
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_full_backward_hook,
)

from mmdia.models import LayerInteraction
from mmdia.registry import MODELS

from .networks import assert_same, each_network, images, network


def working_modules(model):
    """The modules without children, and the interactions."""
    return {
        name
        for name, module in model.named_modules()
        if isinstance(module, LayerInteraction)
        or (not list(module.children()) and not isinstance(module, nn.ModuleList))
    }


@contextmanager
def record_calls(model, how):
    """The names of the modules that are called."""
    names, calls, handles = {m: n for n, m in model.named_modules()}, set(), []

    def note(module, *_):
        calls.add(names.get(module))

    if how == 'global':
        handles.append(register_module_forward_hook(note))
    else:
        handles += [module.register_forward_hook(note) for module in model.modules()]
    yield calls
    for handle in handles:
        handle.remove()


@each_network
@pytest.mark.parametrize(('how', 'training'), (('single', True), ('global', False)))
def test_hooks_are_called_and_change_nothing(interaction, trunk, how, training):
    model = network(interaction, trunk).train(training)
    expected = model(images())
    model = network(interaction, trunk).train(training)
    with record_calls(model, how) as calls:
        out = model(images())
    assert_same(out, expected)
    assert working_modules(model) <= calls


@each_network
def test_backward_hooks_are_called(interaction, trunk):
    model = network(interaction, trunk).train()
    model(images())[0].square().sum().backward()
    expected = {name: p.grad for name, p in model.named_parameters()}
    model = network(interaction, trunk).train()
    names, calls = {m: n for n, m in model.named_modules()}, set()
    handle = register_module_full_backward_hook(lambda module, *_: calls.add(names.get(module)))
    try:
        model(images())[0].square().sum().backward()
    finally:
        handle.remove()
    grads = {name: p.grad for name, p in model.named_parameters()}
    assert_same(grads, expected)
    convolutions = {n for n, m in model.named_modules() if isinstance(m, (nn.Conv2d, nn.ReLU))}
    assert convolutions <= calls


@MODELS.register_module()
class DoubledReLU(nn.ReLU):
    """A ReLU by its class, but not by what it does."""

    def forward(self, x):
        return 2 * super().forward(x)


@each_network
def test_activations_of_a_subclass(interaction, trunk):
    model = network(interaction, trunk, 'mmdia.DoubledReLU')
    out = model(images())
    with torch.no_grad():
        assert_same(model(images()), out)
    plain = network(interaction, trunk)
    for name, module in plain.named_modules():
        ours = type(module) is nn.ReLU and 'attentions' not in name
        if ours and name.endswith(('act', 'relu')):
            module.register_forward_hook(lambda _, __, out: 2 * out)
    assert_same(plain(images()), out)


@each_network
def test_patched_forward(interaction, trunk):
    """Every module without children is patched in turn, and the patch is called."""
    model = network(interaction, trunk)
    called = set()
    for name, module in model.named_modules():
        if name in working_modules(model):
            forward = module.forward

            def patched(*args, name=name, forward=forward, **kwargs):
                called.add(name)
                return forward(*args, **kwargs)

            module.forward = patched
    expected = network(interaction, trunk)(images())
    assert_same(model(images()), expected)
    assert working_modules(model) <= called


@each_network
def test_guided_backpropagation(interaction, trunk):
    """Gradients that a hook rectifies at every ReLU, and what autograd computes by itself."""

    class GuidedReLU(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.clamp(min=0)

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return grad.clamp(min=0) * (x > 0)

    gradients = []
    for guide in ('hook', 'function'):
        model = network(interaction, trunk)
        for module in model.modules():
            if type(module) is nn.ReLU and guide == 'hook':
                module.register_full_backward_hook(lambda _, g, __: (g[0].clamp(min=0),))
            elif type(module) is nn.ReLU:
                module.forward = GuidedReLU.apply
        x = images().requires_grad_()
        model(x)[0].sum().backward()
        gradients.append(x.grad)
    # The hook rectifies what leaves a ReLU, the function what enters it: the same.
    assert_same(*gradients)


@each_network
def test_class_activation_maps(interaction, trunk):
    """Grad-CAM at the output of a block; see the documentation of stages."""
    model = network(interaction, trunk)
    stage = model.stages()[-1]
    kept = {}

    def keep(module, _, output):
        kept['activation'] = output
        output.register_hook(lambda grad: kept.update(gradient=grad))

    stage.outputs[-1].register_forward_hook(keep)
    (out,) = model(images())
    score = out.mean((2, 3))[:, 0].sum()
    score.backward()
    assert kept['activation'].shape[2:] == kept['gradient'].shape[2:] == out.shape[2:]
    if not list(model.final_modules()):
        assert torch.equal(kept['activation'], out)
        expected = torch.zeros_like(out)
        expected[:, 0] = 1 / (out.shape[2] * out.shape[3])
        assert_same(kept['gradient'], expected)


@each_network
def test_stages_are_sequences(interaction, trunk):
    model = network(interaction, trunk)
    for stage in model.stages():
        assert len(stage) == len(list(stage)) == len(stage.outputs)
        assert stage[-1] is list(stage)[-1] and stage[:2] == list(stage)[:2]
        with pytest.raises(IndexError):
            stage[len(stage)]
        with pytest.raises(IndexError):
            stage[len(stage)] = stage[0]


@each_network
def test_wrapped_blocks(interaction, trunk):
    model = network(interaction, trunk)
    expected = model(images())
    for stage in model.stages():
        stage[0], stage[-1] = checkpoint_wrapper(stage[0]), checkpoint_wrapper(stage[-1])
        assert [type(block) for block in stage] == [CheckpointWrapper] * len(stage)
    assert_same(model(images()), expected)


@each_network
def test_layers_of_an_interaction_are_called_within_it(interaction, trunk):
    """What shards, offloads or checkpoints an interaction gathers its weights around its call."""
    model, inside = network(interaction, trunk), []

    def enter(*_):
        inside.append(True)

    def leave(*_):
        inside.pop()

    def check(module, *_):
        assert inside, module

    for name, module in model.named_modules():
        if isinstance(module, LayerInteraction):
            module.register_forward_pre_hook(enter)
            module.register_forward_hook(leave)
        elif 'interaction' in name.split('.'):
            module.register_forward_pre_hook(check)
    model(images())
