"""Tools that differentiate otherwise than by one backward pass."""

import copy
from functools import partial

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.utils.checkpoint import checkpoint

from mmdia.models import LayerAttention, LayerInteraction, ResidualBlock
from mmdia.models.ops import recomputation, sums

from ...helpers import forget_living_objects, living_maps
from .networks import assert_same, each_network, each_part, images, network


@pytest.fixture
def by_autograd(monkeypatch):
    """Leave everything to autograd."""

    def switch_off():
        for module in (recomputation, sums):
            monkeypatch.setattr(module, 'is_eager', lambda x: False)

    return switch_off


def gradients_of(model, x):
    parameters = dict(model.named_parameters())
    (out,) = model(x)
    loss = out.square().mean()
    return dict(zip(parameters, torch.autograd.grad(loss, parameters.values(), allow_unused=True)))


@each_part
def test_gradients_of_gradients(interaction, trunk, by_autograd):
    def run():
        model = network(interaction, trunk).train()
        parameters = [p for _, p in model.named_parameters()]
        x = images().requires_grad_()
        loss = model(x)[0].square().mean()
        (of_images,) = torch.autograd.grad(loss, x, create_graph=True)
        return torch.autograd.grad(of_images.square().sum(), parameters, allow_unused=True)

    ours = run()
    by_autograd()
    assert_same(ours, run(), rtol=1e-8)


@each_part
def test_gradients_of_single_samples(interaction, trunk):
    model = network(interaction, trunk)
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    x = images()

    def loss(parameters, image):
        (out,) = functional_call(model, parameters, (image[None],))
        return out.square().mean()

    together = vmap(grad(loss), (None, 0))(parameters, x)
    for i in range(len(x)):
        expected = gradients_of(model, x[i : i + 1])
        for name, value in together.items():
            if expected[name] is not None:
                assert_same(value[i], expected[name])


@each_network
def test_checkpointing_from_outside(interaction, trunk):
    expected = gradients_of(network(interaction, trunk).train(), images())
    model = network(interaction, trunk).train()
    x = images().requires_grad_()
    forget_living_objects()
    out = checkpoint(lambda x: model(x)[0], x, use_reentrant=False)
    # Nothing but the output is kept; the graph itself is no object of Python.
    assert [t for t in living_maps() if t is not out] == []
    out.square().mean().backward()
    for name, p in model.named_parameters():
        if expected[name] is not None:
            assert_same(p.grad, expected[name])


@each_network
def test_checkpoints_in_each_other(interaction, trunk):
    """Blocks and interactions, and the network around them."""
    expected = gradients_of(network(interaction, trunk).train(), images())
    model = network(interaction, trunk).train()
    for module in model.modules():
        if isinstance(module, ResidualBlock):
            module.with_cp = True
        elif isinstance(module, LayerInteraction):
            module.forward = partial(checkpoint, module.forward, use_reentrant=False)
    out = checkpoint(lambda x: model(x)[0], images().requires_grad_(), use_reentrant=False)
    out.square().mean().backward()
    for name, p in model.named_parameters():
        if expected[name] is not None:
            assert_same(p.grad, expected[name])


@each_network
def test_buffers_that_are_written_between_calls(interaction, trunk):
    """As before every call by DistributedDataParallel, where norms do not forbid it."""
    check_written_buffers(network(interaction, trunk).train())


def test_buffers_that_are_written_between_calls_where_the_sum_is_gated():
    model = network('mmdia.RLA', 'ResNet-18').train()
    model.interaction.position = 'sum'
    check_written_buffers(model)


def check_written_buffers(model):
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, nn.GroupNorm(4, child.num_features).double())
    expected = gradients_of(copy.deepcopy(model), images())
    (out,) = model(images())
    with torch.no_grad():
        for buffer in model.buffers():
            buffer.copy_(buffer.clone())
    out.square().mean().backward()
    for name, p in model.named_parameters():
        assert_same(p.grad, expected[name])


@each_network
def test_saved_tensors_pass_through_hooks_from_outside(interaction, trunk):
    """As in offloading: what is kept is a copy, made by the hooks."""
    expected = gradients_of(network(interaction, trunk).train(), images())
    model = network(interaction, trunk).train()
    packed = []

    def pack(tensor):
        packed.append(tensor.numel())
        return tensor.clone()

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        (out,) = model(images())
    assert packed
    out.square().mean().backward()
    for name, p in model.named_parameters():
        if expected[name] is not None:
            assert_same(p.grad, expected[name])


@each_part
def test_hooks_on_saved_tensors_are_forbidden(interaction, trunk):
    expected = gradients_of(network(interaction, trunk).train(), images())
    with torch.autograd.graph.disable_saved_tensors_hooks('none here'):
        found = gradients_of(network(interaction, trunk).train(), images())
    assert_same(found, expected)


class Transposing(torch.nn.Module):
    """A value that keeps a transposed view of its input for the backward pass."""

    def forward(self, x):
        return (x.transpose(2, 3) ** 2).transpose(2, 3)


@each_network
def test_views_that_are_saved(interaction, trunk, by_autograd):
    def run():
        model = network(interaction, trunk).train()
        for module in model.modules():
            if isinstance(module, LayerAttention):
                for attention in module.attentions:
                    attention.value = Transposing()
        return gradients_of(model, images())

    model = network(interaction, trunk)
    if not any(isinstance(module, LayerAttention) for module in model.modules()):
        return
    ours = run()
    by_autograd()
    assert_same(ours, run())


class Scan(torch.Tensor):
    """An image with more to it, as medical libraries have them."""


@each_network
def test_subclasses_of_tensors(interaction, trunk):
    model = network(interaction, trunk).train()
    twin = copy.deepcopy(model)
    expected = gradients_of(model, images())
    found = gradients_of(twin, images().as_subclass(Scan))
    for name, gradient in expected.items():
        assert_same(None if gradient is None else found[name].as_subclass(torch.Tensor), gradient)
