"""Tools that walk through the modules of a network and change or replace them."""

import copy

import pytest
import torch
from mmcv.cnn import fuse_conv_bn
from mmengine.analysis import get_model_complexity_info
from mmengine.model.efficient_conv_bn_eval import turn_on_efficient_conv_bn_eval
from torch import nn
from torch.ao import quantization as ao
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx
from torch.fx.experimental.optimization import fuse
from torch.nn.utils import parametrizations, prune, remove_weight_norm, weight_norm

from mmdia.registry import MODELS

from ...helpers import randomize
from .networks import TRUNKS, assert_same, each_network, each_part, images, network

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d)
# What cannot work, and why.
AGGREGATES = 'mmdia.LayerAggregation'  # blocks add its state between a convolution and its norm
# MMEngine's tool takes whatever precedes a norm for a module; here some read sums or products.
NORMS_OF_THEIR_OWN = (
    AGGREGATES,
    'mmdia.DLABase',
    'mmdia.DLALight',
    'mmdia.MRLABase',
    'mmdia.MRLALight',
)


def weighted_modules(model):
    return [module for module in model.modules() if isinstance(module, WEIGHTED)]


@each_network
def test_pruning_made_permanent(interaction, trunk):
    model = network(interaction, trunk)
    for module in weighted_modules(model):
        prune.l1_unstructured(module, 'weight', amount=0.3)
        prune.remove(module, 'weight')
    twin = network(interaction, trunk)
    twin.load_state_dict(model.state_dict())
    assert_same(model(images()), twin(images()))


@each_network
def test_removed_weight_norm(interaction, trunk):
    model = network(interaction, trunk)
    expected = model(images())
    for module in weighted_modules(model):
        remove_weight_norm(weight_norm(module))
    assert_same(model(images()), expected)


@each_network
def test_parametrized_weights(interaction, trunk):
    model = network(interaction, trunk)
    expected = model(images())
    for module in weighted_modules(model):
        parametrizations.weight_norm(module)
    assert_same(model(images()), expected)


@each_network
def test_reassigned_parameters(interaction, trunk):
    model = network(interaction, trunk)
    expected = model(images())
    for module in model.modules():
        for name in list(module._parameters)[:1]:
            parameter = getattr(module, name)
            delattr(module, name)
            setattr(module, name, nn.Parameter(parameter.detach()))
    assert_same(model(images()), expected)


@each_network
def test_fused_norms(interaction, trunk):
    model = network(interaction, trunk)
    with torch.no_grad():
        expected = model(images())
        fused = fuse_conv_bn(copy.deepcopy(model))
        if interaction == AGGREGATES:
            with pytest.raises(RuntimeError, match='do not fuse norms'):
                fused(images())
        else:
            assert_same(fused(images()), expected)


@pytest.mark.parametrize('training', (True, False))
@each_network
def test_fused_norms_for_quantization(interaction, trunk, training):
    model = network(interaction, trunk).train(training)
    expected = copy.deepcopy(model)(images())
    fuse_modules = ao.fuse_modules_qat if training else ao.fuse_modules
    for block in [block for stage in model.stages() for block in stage]:
        norms = block.norm_names[1:] if block.preactivation else block.norm_names
        fuse_modules(block, [[f'conv{i}', norm] for i, norm in enumerate(norms, 1)], inplace=True)
    if interaction == AGGREGATES:
        with pytest.raises(RuntimeError, match='do not fuse norms'):
            model(images())
    else:
        assert_same(model(images()), expected)


@each_network
def test_dynamic_quantization(interaction, trunk):
    model = network(interaction, trunk).float()
    x = images(dtype=torch.float32)
    with torch.no_grad():
        (expected,) = model(x)
        quantized = ao.quantize_dynamic(model, {nn.Linear}, torch.qint8)
        (out,) = quantized(x)
    linear = [m for m in model.modules() if isinstance(m, nn.Linear)]
    replaced = [
        m for m in quantized.modules() if isinstance(m, torch.ao.nn.quantized.dynamic.Linear)
    ]
    assert len(replaced) == len(linear)
    assert (out - expected).norm() < 0.05 * expected.norm()


# It takes seconds; its fusions are tested above, with all interactions.
@pytest.mark.parametrize('interaction', ('mmdia.MRLABase', 'mmdia.RLA'))
def test_static_quantization(interaction):
    model = network(interaction, 'ResNet-18').float()
    x = images(4, (32, 32), torch.float32)
    with torch.no_grad():
        (expected,) = model(x)
        prepared = prepare_fx(model, ao.get_default_qconfig_mapping(), (x,))
        prepared(x)
        (out,) = convert_fx(prepared)(x)
    assert (out - expected).norm() < 0.3 * expected.norm()


class Adapted(nn.Module):
    """A layer with an adapter of low rank that is still zero, as LoRA starts."""

    def __init__(self, layer):
        super().__init__()
        self.base_layer = layer
        self.scale = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, x):
        out = self.base_layer(x)
        return out + self.scale * out.mean()


@each_network
def test_replaced_layers(interaction, trunk):
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.BatchNorm2d)
    model = network(interaction, trunk)
    expected = model(images())
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, kinds) and not isinstance(parent, Adapted):
                setattr(parent, name, Adapted(child))
    (out,) = model(images())
    assert_same((out,), expected)
    out.sum().backward()
    assert all(m.scale.grad is not None for m in model.modules() if isinstance(m, Adapted))


@each_part
def test_symbolic_tracing(interaction, trunk):
    model = network(interaction, trunk)
    traced = torch.fx.symbolic_trace(model)
    for x in (images(), images(3, (17, 23))):
        assert_same(traced(x), model(x))
    # Tools that replace a norm trip over its weights where the graph mentions them for nothing.
    assert all(node.users for node in traced.graph.nodes if node.op == 'get_attr')


@each_part
def test_fused_norms_of_symbolic_traces(interaction, trunk):
    models = [network(interaction, trunk)]
    if interaction == AGGREGATES:
        cfg = dict(type=interaction, state_channels=4, append_state=True)
        wide = MODELS.build(dict(TRUNKS[trunk], interaction=cfg, _scope_='mmdia'))
        models.append(randomize(wide).double().eval())
    for model in models:
        assert_same(fuse(model)(images()), model(images()))


@each_part
def test_efficient_conv_bn_eval(interaction, trunk):
    model = network(interaction, trunk)
    expected = model(images())
    holder = nn.ModuleDict(dict(backbone=model))
    if interaction in NORMS_OF_THEIR_OWN:
        with pytest.raises(KeyError):
            turn_on_efficient_conv_bn_eval(holder, 'backbone')
        return
    turn_on_efficient_conv_bn_eval(holder, 'backbone')
    assert model.forward.__self__ is not model
    assert_same(model(images()), expected)


@each_part
def test_complexity_analysis(interaction, trunk):
    model = network(interaction, trunk).float()
    info = get_model_complexity_info(model, (3, 32, 32), show_table=True, show_arch=False)
    assert info['params'] == sum(p.numel() for p in model.parameters())
    assert info['flops'] > 0 and 'layer2' in info['out_table']
