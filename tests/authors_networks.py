"""The networks of the papers' authors, restated with the names of their code.

Written from the formulas, with modules of torch alone and nothing of this
package. Each function returns a network and its forward pass, which gives the
logits, or the maps of all stages where there is no classifier. It is meant for
single images: in the code of Dynamic Layer Attention, the gates of every image
use the context of the first one of the batch.
"""

import math
from itertools import chain

import torch
import torch.nn.functional as F
from torch import nn

BLOCKS = 3  # in a stage: what DLA-B renews twice is first read by the third
CLASSES = 10
KERNELS = {64: 3, 128: 5, 256: 5, 512: 5, 1024: 5, 2048: 7}


class Net(nn.Module):
    """A module with the given parts."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


def conv(inputs, outputs, size, stride=1, groups=1):
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)


def norm(channels):
    return nn.BatchNorm2d(channels)


# Blocks, and their two halves


def bottleneck(inputs, width, outputs, stride=1):
    block = Net(
        conv1=conv(inputs, width, 1),
        bn1=norm(width),
        conv2=conv(width, width, 3, stride),
        bn2=norm(width),
        conv3=conv(width, outputs, 1),
        bn3=norm(outputs),
    )
    return add_projection(block, inputs, outputs, stride)


def basic(inputs, width, outputs, stride=1):
    block = Net(
        conv1=conv(inputs, outputs, 3, stride),
        bn1=norm(outputs),
        conv2=conv(outputs, outputs, 3),
        bn2=norm(outputs),
    )
    return add_projection(block, inputs, outputs, stride)


def add_projection(block, inputs, outputs, stride):
    if stride != 1 or inputs != outputs:
        block.downsample = nn.Sequential(conv(inputs, outputs, 1, stride), norm(outputs))
    return block


def halves(block, x):
    branch = block.bn2(block.conv2(F.relu(block.bn1(block.conv1(x)))))
    if hasattr(block, 'conv3'):
        branch = block.bn3(block.conv3(F.relu(branch)))
    return branch, block.downsample(x) if hasattr(block, 'downsample') else x


def preactivation_bottleneck(inputs, width, outputs, stride=1):
    block = Net(
        bn1=norm(inputs),
        conv1=conv(inputs, width, 1),
        bn2=norm(width),
        conv2=conv(width, width, 3, stride),
        bn3=norm(width),
        conv3=conv(width, outputs, 1),
        bn_additional=norm(outputs),
    )
    if stride != 1 or inputs != outputs:
        block.downsample = nn.Sequential(conv(inputs, outputs, 1, stride))
    return block


def preactivation_halves(block, x):
    branch = block.conv1(F.relu(block.bn1(x)))
    branch = block.conv3(F.relu(block.bn3(block.conv2(F.relu(block.bn2(branch))))))
    identity = block.downsample(x) if hasattr(block, 'downsample') else x
    return block.bn_additional(branch), identity


def wide(inputs, width, outputs, stride=1):
    block = Net(
        bn1=norm(inputs),
        conv1=conv(inputs, outputs, 3, stride),
        bn2=norm(outputs),
        conv2=conv(outputs, outputs, 3),
        bn_additional=norm(outputs),
    )
    if inputs != outputs:
        block.convShortcut = conv(inputs, outputs, 1, stride)
    return block


def wide_halves(block, x):
    first = F.relu(block.bn1(x))
    branch = block.conv2(F.relu(block.bn2(block.conv1(first))))
    identity = block.convShortcut(first) if hasattr(block, 'convShortcut') else x
    return block.bn_additional(branch), identity


def resnext_bottleneck(inputs, width, outputs, stride=1, groups=8):
    block = Net(
        conv_reduce=conv(inputs, width, 1),
        bn_reduce=norm(width),
        conv_conv=conv(width, width, 3, stride, groups),
        bn=norm(width),
        conv_expand=conv(width, outputs, 1),
        bn_expand=norm(outputs),
        shortcut=nn.Sequential(),
    )
    if inputs != outputs:
        block.shortcut.add_module('shortcut_conv', conv(inputs, outputs, 1, stride))
        block.shortcut.add_module('shortcut_bn', norm(outputs))
    return block


def resnext_halves(block, x):
    branch = F.relu(block.bn_reduce(block.conv_reduce(x)))
    branch = F.relu(block.bn(block.conv_conv(branch)))
    return block.bn_expand(block.conv_expand(branch)), block.shortcut(x)


def stage_blocks(build, stem, widths, outputs, counts):
    """The blocks of all stages."""
    stages, inputs = [], stem
    for i, (width, channels, count) in enumerate(zip(widths, outputs, counts)):
        strides = [1 if i == 0 else 2, *[1] * (count - 1)]
        stages.append(
            [build(c, width, channels, s) for c, s in zip([inputs, *[channels] * count], strides)]
        )
        inputs = channels
    return stages


def cifar_blocks(build=bottleneck, expansion=4):
    widths = (16, 32, 64)
    return stage_blocks(build, 16, widths, [w * expansion for w in widths], [BLOCKS] * 3)


def imagenet_blocks(widths):
    return stage_blocks(bottleneck, 64, widths, (256, 512, 1024, 2048), (3, 4, 6, 3))


# Cells and attentions


def gap(x):
    return x.mean((2, 3))


def times(x, gate):
    return x * gate[:, :, None, None]


def cell(channels, ratio, gates):
    def projection():
        narrow = channels // ratio
        layers = nn.Linear(channels, narrow), nn.ReLU(), nn.Linear(narrow, gates * channels)
        return nn.ModuleList([Net(seq=nn.Sequential(*layers))])

    return Net(w_ih=projection(), w_hh=projection())


def gates(lstm, y, h, number):
    return (lstm.w_ih[0].seq(y) + lstm.w_hh[0].seq(h)).chunk(number, 1)


def dia_step(lstm, y, h, s):
    i, f, g, o = gates(lstm, y, h, 4)
    s = torch.sigmoid(f) * s + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.sigmoid(s), s


def dsu_step(lstm, y, h, s):
    i, f, g = gates(lstm, y, h, 3)
    s = torch.sigmoid(f) * s + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(s), s


def start(blocks, x):
    """Zeros for the state of a stage's cell."""
    channels = list(blocks)[-1].bn3.num_features
    return (x.new_zeros(len(x), channels),) * 2


def attention(channels):
    size = KERNELS[channels]
    return Net(
        Wq=nn.Conv1d(1, 1, size, padding=size // 2, bias=False),
        Wk=nn.Conv1d(1, 1, size, padding=size // 2, bias=False),
        Wv=conv(channels, channels, 3, groups=channels),
    )


def scores(query, key, width):
    return (query * key).unflatten(1, (-1, width)).sum(-1) / math.sqrt(width)


def across_channels(conv1d, y):
    return conv1d(y[:, None])[:, 0]


def light_term(layer, weight, x, previous, width=32):
    query, key = across_channels(layer.Wq, gap(x)), across_channels(layer.Wk, gap(x))
    own = torch.sigmoid(scores(query, key, width)).repeat_interleave(width, 1)
    return times(layer.Wv(x), own) + weight * previous


def base_term(layer, x, keys, values, width):
    """The term of a block, which adds its key and value to those of the blocks before."""
    query = across_channels(layer.Wq, gap(x))
    keys.append(across_channels(layer.Wk, gap(x)))
    values.append(layer.Wv(x))
    weights = torch.stack([scores(query, key, width) for key in keys]).softmax(0)
    weights = weights.repeat_interleave(width, 2)
    return sum(times(value, weight) for weight, value in zip(weights, values))


# Stages


def plain_stage(blocks, x):
    for block in blocks:
        branch, identity = halves(block, x)
        if hasattr(block, 'se'):
            branch = times(branch, block.se.fc(gap(branch)))
        if hasattr(block, 'eca'):
            gate = torch.sigmoid(across_channels(block.eca.conv, gap(branch)))
            branch = times(branch, gate)
        x = F.relu(branch + identity)
    return x


def dia_stage(stage, x, split=halves, act=F.relu):
    h = s = None
    for block in stage.ModuleList:
        branch, identity = split(block, x)
        if h is None:
            h = s = torch.zeros_like(gap(branch))
        h, s = dia_step(stage.lstm, gap(branch), h, s)
        x = act(times(branch, h) + identity)
    return x


def mrla_light_stage(blocks, x):
    for block in blocks:
        branch, identity = halves(block, x)
        x = F.relu(branch + identity)
        x = x + block.bn_mrla(light_term(block.mrla.mrla, block.mrla.lambda_t, x, identity))
    return x


def mrla_base_stage(blocks, x, width=32):
    keys, values = [], []
    for block in blocks:
        x = F.relu(sum(halves(block, x)))
        x = x + F.relu(block.bn_mrla(base_term(block.mrla.mrla, x, keys, values, width)))
    return x


def dla_light_stage(stage, x, name='layer_attention', excite='excite'):
    h, s = start(stage.layers, x)
    for block, unit in zip(stage.layers, stage.attention):
        branch, identity = halves(block, x)
        x = F.relu(branch + identity)
        h, s = dsu_step(stage.lstm, gap(x), h, s)
        gate, _ = dsu_step(stage.lstm, gap(identity), h, s)
        renewed = times(identity, gate) + getattr(stage, excite)(identity)
        module = unit.layer_attention
        term = light_term(getattr(module, name), module.lambda_t, x, renewed)
        x = x + unit.bn_layer_attention(term)
    return x


def dla_base_stage(stage, x):
    keys, values = [], []
    h, s = start(stage.layers, x)
    for block, unit in zip(stage.layers, stage.attention):
        x = F.relu(sum(halves(block, x)))
        h, s = dsu_step(stage.lstm, gap(x), h, s)
        keys = [key * dsu_step(stage.lstm, key, h, s)[0] for key in keys]
        values = [times(value, dsu_step(stage.lstm, gap(value), h, s)[0]) for value in values]
        term = base_term(unit.layer_attention.layer_attention, x, keys, values, 32)
        x = x + F.relu(unit.bn_layer_attention(term))
    return x


# Networks: each returns the network and how to compute what it returns


def finish(net, stages, run_stage, stem=None, last=None, fc='fc'):
    """The network's forward pass: logits, or the maps of all stages without a classifier."""

    def forward(x):
        x = F.relu(net.bn1(net.conv1(x))) if stem is None else stem(x)
        maps = []
        for stage in stages:
            x = run_stage(stage, x)
            maps.append(x)
        if not hasattr(net, fc):
            return maps
        return getattr(net, fc)(gap(x if last is None else F.relu(last(x))))

    return net, forward


def cifar_parts():
    return dict(conv1=conv(3, 16, 3), bn1=norm(16))


def add_parts(stages, parts):
    for block in chain(*stages):
        channels = (block.bn3 if hasattr(block, 'bn3') else block.bn2).num_features
        for name, part in parts(channels).items():
            setattr(block, name, part)
    return stages


def plain(parts, build=bottleneck, expansion=4):
    stages = add_parts(cifar_blocks(build, expansion), parts)
    layers = {f'layer{i}': nn.Sequential(*blocks) for i, blocks in enumerate(stages, 1)}
    net = Net(**cifar_parts(), **layers, fc=nn.Linear(64 * expansion, CLASSES))
    return finish(net, layers.values(), plain_stage)


def resnet():
    return plain(lambda channels: {})


def resnet_basic():
    return plain(lambda channels: {}, basic, 1)


def senet_parts(channels):
    narrow = channels // 16
    layers = nn.Linear(channels, narrow, False), nn.ReLU(), nn.Linear(narrow, channels, False)
    return dict(se=Net(fc=nn.Sequential(*layers, nn.Sigmoid())))


def senet():
    return plain(senet_parts)


def senet_basic():
    return plain(senet_parts, basic, 1)


def ecanet_parts(channels):
    size = KERNELS[channels]
    return dict(eca=Net(conv=nn.Conv1d(1, 1, size, padding=size // 2, bias=False)))


def ecanet():
    return plain(ecanet_parts)


def dia(stages, channels, prefix, **parts):
    """A network with a cell in every stage, and its stages."""
    layers = {
        f'{prefix}{i}': Net(ModuleList=nn.ModuleList(blocks), lstm=cell(c, 4, 4))
        for i, (blocks, c) in enumerate(zip(stages, channels), 1)
    }
    return Net(**layers, **parts), list(layers.values())


def dia_resnet():
    fc = nn.Linear(256, CLASSES)
    net, stages = dia(cifar_blocks(), (64, 128, 256), 'layer', **cifar_parts(), fc=fc)
    return finish(net, stages, dia_stage)


def dia_preresnet():
    parts = dict(conv1=conv(3, 16, 3), bn=norm(256), fc=nn.Linear(256, CLASSES))
    blocks = cifar_blocks(preactivation_bottleneck)
    net, stages = dia(blocks, (64, 128, 256), 'layer', **parts)

    def run_stage(stage, x):
        return dia_stage(stage, x, preactivation_halves, nn.Identity())

    return finish(net, stages, run_stage, net.conv1, net.bn)


def dia_wrn():
    parts = dict(conv1=conv(3, 16, 3), bn1=norm(256), fc=nn.Linear(256, CLASSES))
    net, stages = dia(cifar_blocks(wide), (64, 128, 256), 'block', **parts)

    def run_stage(stage, x):
        return dia_stage(stage, x, wide_halves, nn.Identity())

    return finish(net, stages, run_stage, net.conv1, net.bn1)


def dia_resnext():
    parts = dict(conv_1_3x3=conv(3, 32, 3), bn_1=norm(32), classifier=nn.Linear(512, CLASSES))
    channels = (128, 256, 512)
    blocks = stage_blocks(resnext_bottleneck, 32, (256, 512, 1024), channels, [BLOCKS] * 3)
    net, stages = dia(blocks, channels, 'stage_', **parts)

    def stem(x):
        return F.relu(net.bn_1(net.conv_1_3x3(x)))

    def run_stage(stage, x):
        return dia_stage(stage, x, resnext_halves)

    return finish(net, stages, run_stage, stem, fc='classifier')


def mrla_blocks(stages, light):
    for block in chain(*stages):
        channels = block.bn3.num_features
        block.mrla = Net(mrla=attention(channels))
        block.bn_mrla = norm(channels)
        if light:
            block.mrla.lambda_t = nn.Parameter(torch.randn(channels, 1, 1))
    return [nn.ModuleList(stage) for stage in stages]


def mrla_light():
    stages = mrla_blocks(cifar_blocks(), light=True)
    layers = {f'layer{i}': stage for i, stage in enumerate(stages, 1)}
    net = Net(**cifar_parts(), **layers, fc=nn.Linear(256, CLASSES))
    return finish(net, stages, mrla_light_stage)


def mrla_base():
    stages = mrla_blocks(cifar_blocks(), light=False)
    net = Net(**cifar_parts(), stages=nn.ModuleList(stages), fc=nn.Linear(256, CLASSES))
    return finish(net, stages, mrla_base_stage)


def dla_stages(stages, ratio, light, name='layer_attention', excite='excite'):
    made = []
    for blocks in stages:
        channels = blocks[0].bn3.num_features
        units = []
        for _ in blocks:
            module = Net(**{name: attention(channels)})
            if light:
                module.lambda_t = nn.Parameter(torch.randn(channels, 1, 1))
            units.append(Net(layer_attention=module, bn_layer_attention=norm(channels)))
        stage = Net(
            layers=nn.Sequential(*blocks),
            attention=nn.Sequential(*units),
            lstm=cell(channels, ratio, 3),
        )
        if light:
            setattr(stage, excite, conv(channels, channels, 3, groups=channels))
        made.append(stage)
    return made


def dla_l():
    stages = dla_stages(cifar_blocks(), 4, light=True)
    net = Net(**cifar_parts(), stages=nn.ModuleList(stages), fc=nn.Linear(256, CLASSES))
    return finish(net, stages, dla_light_stage)


def dla_b():
    stages = dla_stages(cifar_blocks(), 4, light=False)
    net = Net(**cifar_parts(), stages=nn.ModuleList(stages), fc=nn.Linear(256, CLASSES))
    return finish(net, stages, dla_base_stage)


def imagenet(stages, run_stage, container=None, fc=True, **parts):
    layers = container or {f'layer{i}': stage for i, stage in enumerate(stages, 1)}
    parts = {**dict(conv1=nn.Conv2d(3, 64, 7, 2, 3, bias=False), bn1=norm(64)), **parts}
    if fc:
        parts['fc'] = nn.Linear(2048, CLASSES)
    net = Net(**parts, **layers)

    def stem(x):
        return F.max_pool2d(F.relu(net.bn1(net.conv1(x))), 3, 2, 1)

    return finish(net, stages, run_stage, stem)


NARROW = (8, 16, 32, 64)  # a base width of 8 instead of 64


def resnet_dla_l():
    names = dict(name='mrla', excite='extict')
    stages = dla_stages(imagenet_blocks(NARROW), 16, light=True, **names)
    return imagenet(stages, lambda stage, x: dla_light_stage(stage, x, **names))


def plain_imagenet(parts):
    stages = add_parts(imagenet_blocks(NARROW), parts)
    return imagenet([nn.Sequential(*blocks) for blocks in stages], plain_stage)


def senet_imagenet():
    return plain_imagenet(senet_parts)


def ecanet_imagenet():
    return plain_imagenet(ecanet_parts)


def resnet_mrla_light():
    return imagenet(mrla_blocks(imagenet_blocks(NARROW), light=True), mrla_light_stage)


def resnet_mrla_base():
    stages = mrla_blocks(imagenet_blocks(NARROW), light=False)
    convs = conv(3, 32, 3, 2), norm(32), nn.ReLU(), conv(32, 32, 3), norm(32), nn.ReLU()
    conv1 = nn.Sequential(*convs, conv(32, 64, 3))

    def run_stage(stage, x):
        return mrla_base_stage(stage, x, width=16)

    return imagenet(stages, run_stage, dict(stages=nn.ModuleList(stages)), conv1=conv1)


WIDE = (64, 128, 256, 512)


def resnet_dlal():
    stages = dla_stages(imagenet_blocks(WIDE), 20, light=True, name='mrla')
    return imagenet(stages, lambda stage, x: dla_light_stage(stage, x, name='mrla'), fc=False)


def resnet_mrlal():
    return imagenet(mrla_blocks(imagenet_blocks(WIDE), light=True), mrla_light_stage, fc=False)


def randomize(net):
    """Give norms random weights and statistics, and all of the network double precision."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for name in ('weight', 'running_var'):
                nn.init.uniform_(getattr(module, name), 0.5, 1.5)
            for name in ('bias', 'running_mean'):
                nn.init.normal_(getattr(module, name), 0, 0.3)
            module.num_batches_tracked.fill_(7)
    return net.double().eval()
