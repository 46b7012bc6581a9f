"""The papers' formulas written a second time, as plain loops over blocks.

Independent of the modules they check: they read the halves of each block and
the tensors of a state dict, and nothing else. Formulas: DIANet, eq. 1 to 4 and
its released cell; DLA as in the released code with a context for each sample,
and its eq. 2 to 9; RLA, eq. 1 to 5.
"""

from functools import partial

import numpy as np
import torch
import torch.nn.functional as F

from .attention_restatements import attended


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def relu(x):
    return np.maximum(x, 0)


def linear(weights, name, x):
    return x @ weights[f'{name}.weight'].T + weights.get(f'{name}.bias', 0)


def bottleneck(weights, name, x):
    """Two linear layers with a ReLU: ``name.0`` and ``name.2``."""
    return linear(weights, f'{name}.2', relu(linear(weights, f'{name}.0', x)))


def split(gates, parts):
    width = gates.shape[1] // parts
    return [gates[:, i * width : (i + 1) * width] for i in range(parts)]


def dia_cell(weights, name, y, h, s, activation=sigmoid, project=bottleneck):
    gates = project(weights, f'{name}.input_gates', y)
    gates = gates + project(weights, f'{name}.hidden_gates', h)
    i, f, g, o = split(gates, 4)
    s = sigmoid(f) * s + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * activation(s), s


def light_cell(weights, name, y, h, s):
    def enhance(part, x):
        return weights[f'{name}.{part}.weight'] * x + weights[f'{name}.{part}.bias']

    z = relu(
        linear(weights, f'{name}.reduction', enhance('input_scale', y) + enhance('hidden_scale', h))
    )
    z = np.repeat(z, y.shape[1] // z.shape[1], axis=1)
    i, f, g, o = split(enhance('gate_scales', np.tile(z, 4)), 4)
    s = sigmoid(f) * s + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * sigmoid(s), s


def rnn_cell(weights, name, y, h, s):
    h = np.tanh(
        linear(weights, f'{name}.input_gates', y) + linear(weights, f'{name}.hidden_gates', h)
    )
    return h, h


def dsu_cell(weights, name, y, h, s, fusion='separate', read=None):
    context = h if read is None else read(s)
    if fusion == 'concat':
        narrow = relu(linear(weights, f'{name}.joint_gates.0', np.hstack([context, y])))
        gates = linear(weights, f'{name}.joint_gates.2', narrow)
    else:
        gates = bottleneck(weights, f'{name}.input_gates', y)
        gates = gates + bottleneck(weights, f'{name}.hidden_gates', context)
    i, f, g = split(gates, 3)
    s = sigmoid(f) * s + sigmoid(i) * np.tanh(g)
    return sigmoid(s), s


def dsu_start(weights, name, batch_size, channels):
    """h and c before the first block: zeros, or from the c of the weights."""
    c = weights.get(f'{name}.initial_memory')
    if c is None:
        return (np.zeros((batch_size, channels)),) * 2
    c = np.tile(c, (batch_size, 1))
    return sigmoid(c), c


def lstm_cell(weights, name, y, h, s):
    gates = linear(weights, f'{name}.input_gates', y) + linear(weights, f'{name}.hidden_gates', h)
    i, f, g, o = split(gates, 4)
    s = sigmoid(f) * s + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(s), s


def pool(x):
    return x.mean(axis=(2, 3))


def channel_conv(kernel, y):
    """Cross-correlation along the channels, zero-padded: kernel (1, 1, k), y (N, C)."""
    taps = kernel.reshape(-1)
    reach = len(taps) // 2
    padded = np.pad(y, ((0, 0), (reach, reach)))
    return sum(tap * padded[:, i : i + y.shape[1]] for i, tap in enumerate(taps))


def depthwise_conv(kernel, x):
    """3x3 cross-correlation a channel, zero-padded: kernel (C, 1, 3, 3), x (N, C, H, W)."""
    height, width = x.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    out = np.zeros_like(x)
    for i in range(3):
        for j in range(3):
            tap = kernel[:, 0, i, j][None, :, None, None]
            out += tap * padded[:, :, i : i + height, j : j + width]
    return out


def batch_norm(weights, name, x):
    """In evaluation mode."""
    mean, var, weight, bias = (
        weights[f'{name}.{key}'][None, :, None, None]
        for key in ('running_mean', 'running_var', 'weight', 'bias')
    )
    return (x - mean) / np.sqrt(var + 1e-5) * weight + bias


def plain(weights, blocks, **_):
    x = blocks.start
    for block in blocks:
        branch, identity = block(x)
        x = relu(identity + branch)
    return x


ACTIVATIONS = dict(sigmoid=sigmoid, tanh=np.tanh, relu=relu, identity=lambda x: x)


def choose_cell(cfg):
    """A cell of its own arguments, from a config."""
    args = {key: value for key, value in cfg.items() if key not in ('type', 'ratio')}
    if cfg['type'] == 'mmdia.DSUCell':
        name = args.get('input_activation', 'sigmoid')
        fusion = args.get('fusion', 'separate')
        # The released code hands h on, which is 0 before the first block.
        read = None if (name, fusion) == ('sigmoid', 'separate') else ACTIVATIONS[name]
        return partial(dsu_cell, fusion=fusion, read=read)
    return {'mmdia.DIACell': dia_cell, 'mmdia.LSTMCell': lstm_cell, 'mmdia.RNNCell': rnn_cell}[
        cfg['type']
    ]


def recurrent_gate(weights, blocks, cells, names, stages=(True,) * 4):
    """Cells on top of each other read every block; the last one's h gates it."""
    x = blocks.start
    for block in blocks:
        branch, identity = block(x)
        name = f'{block.stage}.interaction'
        if not stages[int(block.stage[-1]) - 1]:
            x = relu(identity + branch)
            continue
        if block.starts_stage:
            states = [dsu_start(weights, f'{name}.{n}', *branch.shape[:2]) for n in names]
        if f'{name}.norms.{block.index}.weight' in weights:
            branch = batch_norm(weights, f'{name}.norms.{block.index}', branch)
        read = pool(branch)
        for number, (cell, cell_name) in enumerate(zip(cells, names)):
            states[number] = cell(weights, f'{name}.{cell_name}', read, *states[number])
            read = states[number][0]
        gate = weights[f'{name}.gate_scale'] * read
        x = relu(identity + branch * gate[:, :, None, None])
    return x


def dia(weights, blocks, activation='sigmoid', num_cells=1, stages=(True,) * 4, **_):
    first = partial(dia_cell, activation=ACTIVATIONS[activation])
    above = [partial(first, project=linear)] * (num_cells - 1)
    names = ['cell'] if num_cells == 1 else [f'cell.cells.{i}' for i in range(num_cells)]
    return recurrent_gate(weights, blocks, [first, *above], names, stages)


def dia_light(weights, blocks, **_):
    return recurrent_gate(weights, blocks, [light_cell], ['cell'])


def lii(weights, blocks, cell=dict(type='mmdia.DSUCell'), **_):
    return recurrent_gate(weights, blocks, [choose_cell(cell)], ['cell'])


def resample(y, length, upsample='nearest'):
    """Means of groups that cover the vector, or the nearest entries, or lines between them."""
    channels = y.shape[1]
    if channels >= length:
        bounds = [(i * channels // length, -(-(i + 1) * channels // length)) for i in range(length)]
        return np.stack([y[:, start:end].mean(1) for start, end in bounds], axis=1)
    if upsample == 'nearest':
        return y[:, [i * channels // length for i in range(length)]]
    # Entries lie in the middle of their share of the axis.
    places = (np.arange(length) + 0.5) * channels / length - 0.5
    return np.stack([np.interp(places, np.arange(channels), row) for row in y])


def squeeze_excite(weights, name, x):
    gate = sigmoid(bottleneck(weights, f'{name}.mlp', pool(x)))
    return gate[:, :, None, None] * x


def rla(weights, blocks, context='gap', attention=None, position='branch', upsample='nearest', **_):
    x = blocks.start
    length = weights['interaction.cell.input_gates.weight'].shape[1]
    size = weights['interaction.cell.hidden_gates.weight'].shape[1]
    h = s = np.zeros((len(x), size))
    for number, block in enumerate(blocks):
        branch, identity = block(x)
        if position == 'sum':
            branch, identity = branch + identity, 0
        y = pool(branch) if context.startswith('gap') else branch.max(axis=(2, 3))
        if context.endswith('mlp'):
            y = bottleneck(weights, f'interaction.context_mlps.{number}', y)
        h, s = lstm_cell(weights, 'interaction.cell', resample(y, length, upsample), h, s)
        if attention is not None:
            branch = squeeze_excite(weights, f'interaction.attentions.{number}', branch)
        alpha = sigmoid(bottleneck(weights, f'interaction.heads.{number}', h))
        alpha = weights['interaction.gate_scale'] * alpha
        x = relu(identity + alpha[:, :, None, None] * branch)
    return x


def light_attention(weights, name, x, previous, head_channels, weighting):
    """The attention output o; eq. 3 of DLA with ``weighting='softmax'``."""
    own = depthwise_conv(weights[f'{name}.value.weight'], x)
    if weighting == 'sigmoid':
        y = pool(x)
        product = channel_conv(weights[f'{name}.query.weight'], y)
        product = product * channel_conv(weights[f'{name}.key.weight'], y)
        for start in range(0, x.shape[1], head_channels):
            head = slice(start, start + head_channels)
            score = product[:, head].sum(1) / np.sqrt(head_channels)
            own[:, head] *= sigmoid(score)[:, None, None, None]
    return own + weights[f'{name}.previous_weight'][None] * previous


def mrla_light(
    weights, blocks, head_channels=32, previous='shortcut', weighting='sigmoid', cell=None, renew=0
):
    """Light attention, whose layer before a cell renews if there is one.

    ``renew`` is 0 where what the cell renews is multiplied by h, 1 where it is by c.
    """
    x = blocks.start
    for block in blocks:
        branch, identity = block(x)
        name = f'{block.stage}.interaction'
        x = relu(identity + branch)
        if block.starts_stage:
            attended = np.zeros_like(x)
            state = dsu_start(weights, f'{name}.cell', *x.shape[:2])
        before = attended if previous == 'attention' else identity
        if cell is not None:
            state = cell(weights, f'{name}.cell', pool(x), *state)
            gate = cell(weights, f'{name}.cell', pool(before), *state)[renew]
            renewed = before * gate[:, :, None, None]
            if f'{name}.excite.weight' in weights:
                renewed = renewed + depthwise_conv(weights[f'{name}.excite.weight'], before)
            before = renewed
        name = f'{name}.attentions.{block.index}'
        attended = light_attention(weights, name, x, before, head_channels, weighting)
        x = x + batch_norm(weights, f'{name}.norm', attended)
    return x


def dla_light(
    weights, blocks, cell=dict(type='mmdia.DSUCell'), gate='hidden', ratio=20, excite=True, **light
):
    renew = ('hidden', 'memory').index(gate)
    return mrla_light(weights, blocks, cell=choose_cell(cell), renew=renew, **light)


def full_attention_to_features(weights, blocks, head_channels, cell, renew):
    """Eq. 2, 5 and 6 of DLA: features are renewed, then projected again, block by block."""
    x = blocks.start
    for block in blocks:
        branch, identity = block(x)
        stage = f'{block.stage}.interaction'
        x = relu(identity + branch)
        if block.starts_stage:
            features, state = [], dsu_start(weights, f'{stage}.cell', *x.shape[:2])
        state = cell(weights, f'{stage}.cell', pool(x), *state)
        for m in range(len(features)):
            d = cell(weights, f'{stage}.cell', pool(features[m]), *state)[renew]
            features[m] = features[m] * d[:, :, None, None]
        features.append(x)
        query = channel_conv(weights[f'{stage}.attentions.{block.index}.query.weight'], pool(x))
        scores, values = [], []
        for m, feature in enumerate(features):
            name = f'{stage}.attentions.{m}'
            key = channel_conv(weights[f'{name}.key.weight'], pool(feature))
            product = (query * key).reshape(len(x), -1, head_channels)
            scores.append(product.sum(2) / np.sqrt(head_channels))
            values.append(depthwise_conv(weights[f'{name}.value.weight'], feature))
        exponentials = np.exp(scores)
        shares = np.repeat(exponentials / exponentials.sum(0), head_channels, axis=2)
        attended = (shares[..., None, None] * np.stack(values)).sum(0)
        norm = batch_norm(weights, f'{stage}.attentions.{block.index}.norm', attended)
        x = x + weights[f'{stage}.attentions.{block.index}.scale'] * relu(norm)
    return x


def full_attention(weights, blocks, head_channels, cell=None, renew=0):
    """A loop over all earlier blocks, whose maps are renewed one by one."""
    x = blocks.start
    for block in blocks:
        branch, identity = block(x)
        stage = f'{block.stage}.interaction'
        name = f'{stage}.attentions.{block.index}'
        x = relu(identity + branch)
        if block.starts_stage:
            keys, values = [], []
            h, s = dsu_start(weights, f'{stage}.cell', *x.shape[:2])
        if cell is not None:
            h, s = cell(weights, f'{stage}.cell', pool(x), h, s)
            for t in range(len(keys)):
                keys[t] = keys[t] * cell(weights, f'{stage}.cell', keys[t], h, s)[renew]
                gate = cell(weights, f'{stage}.cell', pool(values[t]), h, s)[renew]
                values[t] = values[t] * gate[:, :, None, None]
        query = channel_conv(weights[f'{name}.query.weight'], pool(x))
        keys.append(channel_conv(weights[f'{name}.key.weight'], pool(x)))
        values.append(depthwise_conv(weights[f'{name}.value.weight'], x))
        attended = np.zeros_like(x)
        for start in range(0, x.shape[1], head_channels):
            head = slice(start, start + head_channels)
            scores = [(query * key)[:, head].sum(1) / np.sqrt(head_channels) for key in keys]
            total = sum(np.exp(score) for score in scores)
            for score, value in zip(scores, values):
                weight = np.exp(score) / total
                attended[:, head] += weight[:, None, None, None] * value[:, head]
        x = x + weights[f'{name}.scale'] * relu(batch_norm(weights, f'{name}.norm', attended))
    return x


def mrla_base(weights, blocks, head_channels=32, **_):
    return full_attention(weights, blocks, head_channels)


def dla_base(
    weights,
    blocks,
    head_channels=32,
    cell=dict(type='mmdia.DSUCell'),
    gate='hidden',
    renewed='projections',
):
    attend = full_attention if renewed == 'projections' else full_attention_to_features
    renew = ('hidden', 'memory').index(gate)
    return attend(weights, blocks, head_channels, choose_cell(cell), renew)


def convolve(weight, x):
    padding = weight.shape[-1] // 2
    return F.conv2d(torch.from_numpy(x), torch.from_numpy(weight), padding=padding).numpy()


def halve(x):
    """Means of 2x2 squares, and of what is left of them at the far edges."""
    height, width = x.shape[2:]
    x = np.pad(x, ((0, 0), (0, 0), (0, height % 2), (0, width % 2)), constant_values=float('nan'))
    x = x.reshape(*x.shape[:2], x.shape[2] // 2, 2, x.shape[3] // 2, 2)
    return np.nanmean(x, axis=(3, 5))


def layer_aggregation(weights, blocks, state_channels=32, append_state=False):
    x = blocks.start
    h = np.zeros((len(x), state_channels, *x.shape[2:]))
    count = sum(key.startswith('layer') and key.endswith('.conv1.weight') for key in weights)
    stage = -1
    for index, block in enumerate(blocks):
        stage += block.starts_stage
        # The first block reads zeros: any weights do.
        reader = weights.get(f'interaction.readers.{index - 1}.weight')
        branch, identity = block(x, h, reader)
        x = relu(identity + branch)
        if index == count - 1 and not append_state:
            return x
        if h.shape[2:] != branch.shape[2:]:
            h = halve(h)
        h = h + convolve(weights[f'interaction.inputs.{stage}.weight'], branch)
        h = np.tanh(batch_norm(weights, f'interaction.norms.{index}', h))
        h = convolve(weights[f'interaction.recurrences.{stage}.weight'], h)
    return np.hstack([x, relu(batch_norm(weights, 'interaction.final_norm', h))])


RESTATEMENTS = {
    'mmdia.LayerInteraction': plain,
    'mmdia.BlockAttention': attended,
    'mmdia.SharedAttention': attended,
    'mmdia.DIALSTM': dia,
    'mmdia.DIALSTMLight': dia_light,
    'mmdia.LII': lii,
    'mmdia.LayerAggregation': layer_aggregation,
    'mmdia.RLA': rla,
    'mmdia.MRLALight': mrla_light,
    'mmdia.DLABase': dla_base,
    'mmdia.DLALight': dla_light,
    'mmdia.MRLABase': mrla_base,
}
