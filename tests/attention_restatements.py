"""The formulas of the attentions written a second time, in plain NumPy.

Each takes the tensors of a state dict, a map of shape (N, C, H, W) and the
number of the block, and is independent of the module that it checks. Arguments
that shape the weights are read off them.
"""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def relu(x):
    return np.maximum(x, 0)


def mean(x):
    return x.mean(axis=(2, 3))


def scaled(x, gate):
    return x * gate[:, :, None, None]


def linear(weights, name, y):
    matrix = weights[f'{name}.weight']
    bias = weights.get(f'{name}.bias', 0)
    return y @ matrix.reshape(matrix.shape[:2]).T + bias


def mlp(weights, name, y):
    return linear(weights, f'{name}.2', relu(linear(weights, f'{name}.0', y)))


def across_channels(kernel, y):
    reach = kernel.size // 2
    return np.stack([np.convolve(np.pad(row, reach), kernel.ravel()[::-1], 'valid') for row in y])


def se(weights, x, index):
    return scaled(x, sigmoid(mlp(weights, 'mlp', mean(x))))


def eca(weights, x, index):
    return scaled(x, sigmoid(across_channels(weights['conv.weight'], mean(x))))


def cbam(weights, x, index):
    peak = x.max(axis=(2, 3))
    x = scaled(x, sigmoid(mlp(weights, 'mlp', mean(x)) + mlp(weights, 'mlp', peak)))
    kernel = weights['conv.weight'][0]
    reach = kernel.shape[1] // 2
    planes = np.stack((x.mean(1), x.max(1)), axis=1)
    padded = np.pad(planes, ((0, 0), (0, 0), (reach, reach), (reach, reach)))
    score = np.zeros_like(x[:, 0])
    for row in range(score.shape[1]):
        for column in range(score.shape[2]):
            window = padded[:, :, row : row + 2 * reach + 1, column : column + 2 * reach + 1]
            score[:, row, column] = (window * kernel).sum(axis=(1, 2, 3))
    return x * sigmoid(score)[:, None]


def srm(weights, x, index):
    average = mean(x)
    deviation = np.sqrt(((x - average[:, :, None, None]) ** 2).mean(axis=(2, 3)) + 1e-5)
    score = average * weights['weight'][:, 0] + deviation * weights['weight'][:, 1]
    norm = {key: weights[f'norms.{index}.{key}'] for key in ('weight', 'bias')}
    score = score - weights[f'norms.{index}.running_mean']
    score = score / np.sqrt(weights[f'norms.{index}.running_var'] + 1e-5)
    return scaled(x, sigmoid(score * norm['weight'] + norm['bias']))


def grid_means(x, cells):
    height, width = x.shape[2:]
    means = [
        x[
            :,
            :,
            i * height // cells : -(-(i + 1) * height // cells),
            j * width // cells : -(-(j + 1) * width // cells),
        ].mean(axis=(2, 3))
        for i in range(cells)
        for j in range(cells)
    ]
    return np.stack(means, axis=2).reshape(len(x), -1)


def spa(weights, x, index):
    pyramid = np.concatenate([grid_means(x, cells) for cells in (4, 2, 1)], axis=1)
    return scaled(x, sigmoid(mlp(weights, 'mlp', pyramid)))


def sge(weights, x, index):
    out = np.empty_like(x)
    groups = len(weights['weight'])
    size = x.shape[1] // groups
    for group in range(groups):
        part = x[:, group * size : (group + 1) * size]
        similarity = (part * part.mean(axis=(2, 3), keepdims=True)).sum(axis=1, keepdims=True)
        centred = similarity - similarity.mean(axis=(2, 3), keepdims=True)
        normed = centred / np.sqrt((centred**2).mean(axis=(2, 3), keepdims=True) + 1e-5)
        gate = sigmoid(normed * weights['weight'][group] + weights['bias'][group])
        out[:, group * size : (group + 1) * size] = part * gate
    return out


def sem(weights, x, index):
    y = mean(x)
    first, second, third = sigmoid(linear(weights, 'switch', y)).T[:, :, None]
    gate = sigmoid(first * mlp(weights, 'mlp', y))
    gate = gate * sigmoid(second * across_channels(weights['conv.weight'], y))
    return scaled(x, gate * sigmoid(third * (weights['weight'] * y + weights['bias'])))


def spem(weights, x, index):
    high, low = (
        weights['weight2'] * extreme + weights['bias2']
        for extreme in (x.max(axis=(2, 3)), x.min(axis=(2, 3)))
    )
    first, second = weights['mixture'] ** 2
    mixed = (first * high + second * low) / (first + second)
    gate = sigmoid(high + low) * sigmoid(weights['weight1'] * mixed + weights['bias1'])
    return scaled(x, gate)


def softmax(x):
    x = np.exp(x - x.max(axis=-1, keepdims=True))
    return x / x.sum(axis=-1, keepdims=True)


def gc(weights, x, index):
    positions = x.reshape(*x.shape[:2], -1).transpose(0, 2, 1)
    shares = softmax(linear(weights, 'block.conv_mask', positions)[..., 0])
    context = (positions * shares[..., None]).sum(axis=1)
    narrow = linear(weights, 'block.channel_add_conv.0', context)
    narrow = narrow - narrow.mean(axis=1, keepdims=True)
    narrow = narrow / np.sqrt((narrow**2).mean(axis=1, keepdims=True) + 1e-5)
    norm = 'block.channel_add_conv.1'
    narrow = narrow * weights[f'{norm}.weight'].ravel() + weights[f'{norm}.bias'].ravel()
    return x + linear(weights, 'block.channel_add_conv.3', relu(narrow))[:, :, None, None]


def non_local(weights, x, index):
    positions = x.reshape(*x.shape[:2], -1).transpose(0, 2, 1)
    g, theta, phi = (
        linear(weights, f'block.{name}.conv', positions) for name in ('g', 'theta', 'phi')
    )
    pairs = softmax(theta @ phi.transpose(0, 2, 1) / np.sqrt(theta.shape[2]))
    out = linear(weights, 'block.conv_out.conv', pairs @ g)
    return x + out.transpose(0, 2, 1).reshape(x.shape)


ATTENTIONS = {
    'mmdia.CBAM': cbam,
    'mmdia.ECA': eca,
    'mmdia.GC': gc,
    'mmdia.NonLocal': non_local,
    'mmdia.SE': se,
    'mmdia.SEM': sem,
    'mmdia.SGE': sge,
    'mmdia.SPA': spa,
    'mmdia.SPEM': spem,
    'mmdia.SRM': srm,
}


def below(weights, prefix):
    return {k[len(prefix) :]: v for k, v in weights.items() if k.startswith(prefix)}


def attended(weights, blocks, attention=dict(type='mmdia.SE'), share_norms=False):
    """An attention in the branch of every block, own to it or shared by the stage."""
    x = blocks.start
    for block in blocks:
        branch, identity = block(x)
        mine = below(weights, f'{block.stage}.interaction.')
        shared = below(mine, 'attention.')
        own = shared or below(mine, f'attentions.{block.index}.')
        number = block.index if shared and not share_norms else 0
        branch = ATTENTIONS[attention['type']](own, branch, number)
        x = relu(identity + mine['gate_scale'] * branch)
    return x
