"""The table of what the papers print says what is in their texts.

The texts are not part of the package: the environment variable ``MMDIA_PAPERS`` names a folder of
text files, one a paper, as extracted from its PDF or web page. Without it there is nothing to test.
"""

import os
import re
from collections import defaultdict
from pathlib import Path

import pytest

from mmdia.results.rows import read_rows

FOLDER = os.environ.get('MMDIA_PAPERS', '')
TITLES = {
    'DIANet': 'DIANet: Dense-and-Implicit Attention Network',
    'LSA': '# Layer-wise shared attention network on dynamical system perspective',
    'DLA': 'Strengthening Layer Interaction via Dynamic Layer Attention',
    'RLA': 'Recurrent Layer Attention Network',
}
CIFAR = ('CIFAR-10', 'CIFAR-100')
AP = ('box_AP', 'box_AP50', 'box_AP75', 'box_AP_S', 'box_AP_M', 'box_AP_L')
AP_OF_BOXES_AND_MASKS = ('box_AP', 'box_AP50', 'box_AP75', 'mask_AP', 'mask_AP50', 'mask_AP75')
NAMES = {
    **{'Org': 'plain', 'original': 'plain', 'Origin': 'plain', 'Backbone': 'plain'},
    **{'SENet': 'SE', 'DIANet': 'DIA-LSTM', 'DIA-LSTM (Light)': 'DIA-LSTM Light'},
    **{'ResNeXt101,8x32': 'ResNeXt101-8x32', 'ResNext101,8x32': 'ResNeXt101-8x32'},
    **{'ResNext50,32x4': 'ResNeXt50-32x4', 'miniImageNet': 'mini-ImageNet'},
    **{'CIFAR10': 'CIFAR-10', 'CIFAR100': 'CIFAR-100'},
    **{'AA': 'Attention Augmentation', 'all GC': 'GC', 'NL': 'Non-local', 'BA': 'Bridge Attention'},
    **{'A2': 'A2-Net'},
    **{'RLAg': 'Recurrent Layer Aggregation', 'RLA-VeCtor': 'RLA-Vector'},
    **{'Original RNN': 'DLA-L, RNN block', 'LSTM': 'DLA-L, LSTM block', 'DSU': 'DLA-L'},
    **{'DIA': 'DLA-L, DIA block'},
}
# Tables that print the hyperparameters of their rows.
WITH_HYPERPARAMETERS = {
    *(('DIANet', table) for table in '467'),
    *(('LSA', table) for table in ('10', '12', '13')),
    ('RLA', '3'),
}


def named(text):
    """A name of a paper, without its citation, as the table has it."""
    text = re.sub(r' ?(\[\d+\]|He et al.*|[A-Z]\w+ et al\. \(\d{4}a?\))', '', text).strip()
    return NAMES.get(text, text)


class Figures(dict):
    """Figures by table, network, method, data and metric."""

    def add(self, table, network, method, data, metric, figure):
        key = table, network, method, data, metric
        assert self.setdefault(key, figure) == figure, key

    def add_row(self, table, network, method, data, params, accuracy, spread=None):
        if params is not None:
            self.add(table, network, method, data, 'params', params)
        figure = f'{accuracy} ± {spread}' if spread else accuracy
        self.add(table, network, method, data, 'accuracy', figure)


def dianet(text):
    found = Figures()
    for name, *figures in re.findall(r'^(\S+) \| ([\d.]+) \| ([\d.]+)\(±([\d.]+)\) \|', text, re.M):
        found.add_row('1', 'ResNet164', named(name), 'CIFAR-100', *figures)
    pairs = r'([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| \d+ \|'
    for network, data, *figures in re.findall(rf'^(\S+) \| (\S+) \| {pairs}', text, re.M):
        for i, method in enumerate(('plain', 'SE', 'DIA-LSTM')):
            two = figures[2 * i : 2 * i + 2]
            found.add_row('3', named(network), method, named(data), *two)
    by_ratio = re.findall(r'^(\d+) \| ([\d.]+)\(\+[\d.]+\) \| ([\d.]+) \|', text, re.M)
    for ratio, *figures in by_ratio:
        found.add_row('4', 'ResNet164', f'DIA-LSTM r={ratio}', 'CIFAR-100', *figures)
    by_depth = r'^(ResNet\d+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+)\([+-][\d.]+\) \| ([\d.]+) \|'
    for network, *figures in re.findall(by_depth, text, re.M):
        found.add_row('5', network, 'SE', 'CIFAR-100', *figures[:2])
        found.add_row('5', network, 'DIA-LSTM', 'CIFAR-100', *figures[2:])
    for params, activation, cells, accuracy in re.findall(
        r'^([\d.]+) \| (sigmoid|tanh|ReLU) \| (\d) \| ([\d.]+) \|', text, re.M
    ):
        method = activations(activation, cells)
        found.add_row('6', 'ResNet164', method, 'CIFAR-100', params, accuracy)
    for stage, *figures in re.findall(
        r'^stage(\d) \| ([\d.]+) \| [\d.]+ \| ([\d.]+) \|', text, re.M
    ):
        found.add_row('7', 'ResNet164', without_stage(stage), 'CIFAR-100', *figures)
    three = r'([\d.]+) \| (\S+) \| ([\d.]+) \| (\S+) \| ([\d.]+) \| (\S+) \|$'
    for network, *figures in re.findall(rf'^(ResNet\d+) \| {three}', text, re.M):
        for i, method in enumerate(('plain', 'SE', 'DIA-LSTM')):
            two = figures[2 * i : 2 * i + 2]
            found.add_row('8', f'{network} no BN', method, 'CIFAR-100', *two)
    for name, *figures in re.findall(r'^(\S+) \| (\d\d\.\d\d) \| (\d\d\.\d\d) \|$', text, re.M):
        for data, accuracy in zip(CIFAR, figures, strict=True):
            method = 'plain' if name == 'ResNet164' else named(name)
            found.add_row('9', 'ResNet164', method, data, None, accuracy)
    return found


def activations(activation, cells):
    parts = ['DIA-LSTM r=4']
    if (activation, cells) != ('sigmoid', '1'):
        parts += [activation] + ['3 cells'] * (cells == '3')
    return ', '.join(parts)


def without_stage(stage):
    return f'DIA-LSTM r=4, no unit in stage {stage}'


def lsa(text):
    text = text.replace('\tCIEA DAGO\tDIATCTM\t', '\nResNeXt101,8x32\tCIFAR100\tDIA-LSTM\t')
    text = text.replace('CIFAR100 CIFAR100\tDIA-LSTM DIA-LSTM', 'CIFAR100\tDIA-LSTM')
    text = text.replace('ResNeXt101,8x32 ResNeXt101,8x32', 'ResNeXt101,8x32')
    text = re.sub(r'</?(b|sub|u)>|\*\*|\\ |(?<=\d)M(?=\t)', '', text)
    text = re.sub(r'\$?(\d+\.\d+) ?\$? ?\\pm ?\$? ?(\d+\.\d+)', r'\1± \2', text).replace('$', '')
    mean = r'([\d.]+) ?± ?([\d.]+)'
    found = Figures()
    tables = dict(
        zip(*[iter(re.split(r'^(?:#+ )?TABLE (\d+)$', text, flags=re.M)[1:])] * 2, strict=True)
    )
    for name, data, network, *figures in re.findall(
        rf'^(.+?)\t(CIFAR\d+)\t(\S+)\t{mean}\s*(?:\t(?:{mean}.*|-)\t\S+)$', tables['3'], re.M
    ):
        method = re.sub(r' ?\((\w) ?= ?(\d+)\)', lambda m: hyperparameter(*m.groups()), named(name))
        method = named(method.replace('†', ''))
        found.add_row('3', network, method, named(data), None, *figures[:2])
        if method != 'plain':
            found.add_row('3', network, f'DIA-{method}', named(data), None, *figures[2:])
    for network, data, name, params, *figures in re.findall(
        rf'^(\S+)\t(CIFAR\d+)\t(.+?)\t([\d.]+)\t{mean}', tables['4'], re.M
    ):
        found.add_row('4', named(network), named(name), named(data), params, *figures)
    for table, data in (('6', 'STL-10'), ('7', 'mini-ImageNet')):
        for network, name, *figures in re.findall(rf'^(\S+)\t(.+?)\t{mean}', tables[table], re.M):
            found.add_row(table, network, named(name), data, None, *figures)
    detector = trunk = None
    for line in tables['8'].splitlines():
        cells = [re.sub(r'<.*?>', '', cell).strip() for cell in line.split('\t')]
        if len(cells) != 10 or cells[0] == 'Detector':
            continue
        detector, name = cells[0] or detector, cells[1]
        trunk = name.replace('ResNet', 'R') if name.startswith('ResNet') else trunk
        method = named(name.removeprefix('+')) if name.startswith('+') else 'plain'
        for metric, figure in zip(AP, cells[2:8], strict=True):
            found.add('8', f'{detector} {trunk}', method, 'COCO', metric, figure)
    for name, *figures in re.findall(
        r'^(\S.*?)\t([\d.]+)\t([\d.]+)\t([\d.]+)\t', tables['9'], re.M
    ):
        method = named(name.removeprefix('+')) if name.startswith('+') else 'plain'
        for kind, figure in zip(('_pneumonia', '_normal', ''), figures, strict=True):
            found.add('9', 'ResNet50', method, 'chest X-ray', f'accuracy{kind}', figure)
    # Cells run together here, or stand there twice, but keep their order.
    by_ratio = tables['10'].split('Ratio', 1)[1].split('###')[0]
    params = dict.fromkeys(re.findall(r'([\d.]+)_\{', by_ratio))
    accuracies = re.findall(r'\b7\d\.\d\d\b', by_ratio)
    for ratio, *figures in zip((1, 4, 8, 16), params, accuracies, strict=True):
        found.add_row('10', 'ResNet164', f'DIA-LSTM r={ratio}', 'CIFAR-100', *figures)
    by_depth = r'^(ResNet\d+)\t([\d.]+)\t([\d.]+)\t([\d.]+)\S*\t([\d.]+)$'
    for network, *figures in re.findall(by_depth, tables['11'], re.M):
        found.add_row('11', network, 'SE', 'CIFAR-100', *figures[:2])
        found.add_row('11', network, 'DIA-LSTM', 'CIFAR-100', *figures[2:])
    for params, activation, cells, accuracy in re.findall(
        r'^([\d.]+)\t(\w+)\t(\d)\t([\d.]+)$', tables['12'], re.M
    ):
        method = activations(activation, cells)
        found.add_row('12', 'ResNet164', method, 'CIFAR-100', params, accuracy)
    for stage, *figures in re.findall(
        r'^stage(\d)\t([\d.]+)\t[\d.]+\t([\d.]+)\t', tables['13'], re.M
    ):
        found.add_row('13', 'ResNet164', without_stage(stage), 'CIFAR-100', *figures)
    for network, *figures in re.findall(
        r'^(ResNet\d+)' + r'\t([\d.]+)\t([\d.]+|nan)' * 3 + '$', tables['14'], re.M
    ):
        for i, method in enumerate(('plain', 'SE', 'DIA-LSTM')):
            two = figures[2 * i : 2 * i + 2]
            found.add_row('14', f'{network} no BN', method, 'CIFAR-100', *two)
    for name, *figures in re.findall(r'^(\w+)\t([\d.]+)\t([\d.]+)$', tables['15'], re.M):
        for data, accuracy in zip(CIFAR, figures, strict=True):
            method = 'plain' if name == 'ResNet164' else named(name)
            found.add_row('15', 'ResNet164', method, data, None, accuracy)
    return found


def hyperparameter(name, value):
    return f' {name}={value}' if name == 'r' else f' {name}{value}'


def dla(text):
    text = text.replace('±plus-or-minus\\pm±', '±').replace(' (ours)', '')
    text = re.sub(r' \\bigstrut(\[\w\])?', '', text)
    text = re.sub(r'^A2superscript.*end_POSTSUPERSCRIPT', 'A2', text, flags=re.M)
    mean = r'([\d.]+)±([\d.]+)'
    found = Figures()
    network = None
    for name, *figures in re.findall(rf'^(\S+) ([\d.]+) {mean} ([\d.]+) {mean}$', text, re.M):
        network, method = trunk_and_method(name, network)
        method = 'DIANet' if name == 'DIANet' else method
        found.add_row('1', network, method, 'CIFAR-10', *figures[:3])
        found.add_row('1', network, method, 'CIFAR-100', *figures[3:])
    for name, params, *figures in re.findall(
        r'^(.+) ([\d.]+)M (?:[\d.]+B|-) ([\d.]+) ([\d.]+|-)$', text, re.M
    ):
        network, method = trunk_and_method(name, network)
        found.add('2', network, method, 'ImageNet', 'params', params)
        for metric, figure in zip(('accuracy', 'accuracy_top5'), figures, strict=True):
            if figure != '-':
                found.add('2', network, method, 'ImageNet', metric, figure)
    detector = None
    for line in text.splitlines():
        match = re.fullmatch(r'(.+?) ((?:Faster|Mask) R-CNN )?([\d.]+)M((?: [\d.]+){6})', line)
        if match:
            name, new_detector, params, figures = match.groups()
            detector = new_detector.strip() if new_detector else detector
            network, method = trunk_and_method(name, network)
            where = f'{detector} {network.replace("ResNet", "R")}'
            found.add('3', where, method, 'COCO', 'params', params)
            metrics = AP if detector == 'Faster R-CNN' else AP_OF_BOXES_AND_MASKS
            for metric, figure in zip(metrics, figures.split(), strict=True):
                found.add('3', where, method, 'COCO', metric, figure)
    for name, params, *figures in re.findall(rf'^([\w ]+?) ([\d.]+)M {mean}$', text, re.M):
        if not name.startswith(' '):
            found.add_row('4', 'ResNet110', named(name), 'CIFAR-100', params, *figures)
    for name, function, *figures in re.findall(
        rf'^(?:DLA-L-(\d+) )?(Identity mapping|Tanh|ReLU|Sigmoid) {mean}$', text, re.M
    ):
        network = f'ResNet{name}' if name else network
        function = {'Identity mapping': 'identity', 'Tanh': 'tanh'}.get(function, function)
        method = 'DLA-L' if function == 'Sigmoid' else f'DLA-L, DSU with {function} on c'
        found.add_row('5', network, method, 'CIFAR-100', None, *figures)
    for name, params, *figures in re.findall(rf'^\s+(\S.*?)\s+([\d.]+)M\s+{mean}$', text, re.M):
        network, method = trunk_and_method(name, network)
        method = 'DIANet' if method == 'LII (DIA)' else method
        found.add_row('6', network, method, 'CIFAR-100', params, *figures)
    return found


def trunk_and_method(name, trunk):
    """What the first cell of a line names: a trunk, plain, or a method in the trunk above."""
    match = re.match(r'ResNet-(\d+)', name)
    return (f'ResNet{match[1]}', 'plain') if match else (trunk, named(name))


def rla(text):
    text = text.replace('\N{DIVIDES}', ' ')
    found = Figures()
    ablation = text.split('Table 1: Ablation', 1)[1].split('Distillation of Feature', 1)[0]
    for name, params, *errors in re.findall(
        r'([\w+-]+)[ I\t-]*([\d.]+)M\s*([\d.]+)\s*([\d.]+)$',
        ablation,
        re.M,
    ):
        name = named(name)
        found.add('1', 'ResNet56', name, 'CIFAR-10', 'params', params)
        for data, error in zip(CIFAR, errors, strict=True):
            found.add('1', 'ResNet56', name, data, 'error', error)
    for name, depth, params, *errors in re.findall(
        r'^\t? ?(\w+)-(\d+)\t([\d.]+)M\t\S+\t([\d.]+) / ([\d.]+)$', text, re.M
    ):
        cifar = float(errors[1]) > 26
        network, method = f'ResNet{depth}', 'plain' if name == 'ResNet' else name
        data = CIFAR if cifar else ('ImageNet', 'ImageNet')
        found.add('2', network, method, data[0], 'params', params)
        for where, metric, error in zip(
            data, ('error', 'error' if cifar else 'error_top5'), errors
        ):
            found.add('2', network, method, where, metric, error)
    detection = text.split('I mAP@.5 I mAP', 1)[1].split('ImageNet-1K', 1)[0]
    cells = re.findall(r'(?:ResNet|RLA)-\d+|[\d.]+', detection.split('\n', 1)[1])
    # Two lines run together: names, then a column of either.
    cells[:6] = [cells[i] for i in (0, 2, 4, 1, 3, 5)]
    for name, at_half, average in zip(*[iter(cells)] * 3, strict=True):
        name, depth = name.split('-')
        where, method = f'Faster R-CNN C4 R{depth}', 'plain' if name == 'ResNet' else name
        found.add('2', where, method, 'COCO 2014', 'box_AP50', at_half)
        found.add('2', where, method, 'COCO 2014', 'box_AP', average)
    number = r'(\d+)\t([\d.]+) / ([\d.]+)'
    for size, *rest in re.findall(rf'^{number}\t{number}$', text, re.M):
        for method, errors in (
            (f'M={size}', rest[:2]),
            (f'r={rest[2]}', rest[3:]),
        ):
            for data, error in zip(CIFAR, errors, strict=True):
                found.add('3', 'ResNet56', method, data, 'error', error)
    return found


def method_in_table(row):
    """The method of a row as its table names it."""
    method = row.method
    if (row.paper, row.table) == ('RLA', '3'):
        # Either is printed, in columns of their own: M with r = 1, then r with M = 16.
        size, ratio = re.findall(r'[Mr]=\d+', method)
        return size if ratio == 'r=1' else ratio
    if (row.paper, row.table) in WITH_HYPERPARAMETERS:
        return method
    if (row.paper, row.table) == ('LSA', '3') and re.search('SE|ECA', method):
        return method
    if (row.paper, row.table) == ('RLA', '1') and method.startswith('RLA M'):
        return {'GAP': 'RLA'}.get(context := method.split(', ')[1].split(' ')[0], context)
    method = re.sub(r'^(IA\+RLA):.*', r'\1', method)
    method = re.sub(' on concatenated inputs.*|, stages .*', '', method).removesuffix(', DSU')
    return re.sub(r' (r=\d+|adaptive|k\d|M=.*)|, no (bias|excite)', '', method)


def figures_of_rows(paper):
    """All figures of the table, by what they are; several rows may stand for one."""
    found = defaultdict(set)
    for row in read_rows():
        if row.paper != paper or not row.table.isdigit():
            continue
        data = 'CIFAR-100' if (paper, row.table) == ('DLA', '4') else row.data
        key = row.table, row.network, method_in_table(row), data
        if row.printed:
            figure = f'{row.printed} ± {row.spread}' if row.spread else row.printed
            found[(*key, row.metric)].add(figure)
        if row.params:
            found[(*key, 'params')].add(row.params)
    return found


@pytest.mark.skipif(not FOLDER, reason='MMDIA_PAPERS names no folder of texts')
@pytest.mark.parametrize('paper', TITLES)
def test_figures_are_those_of_the_text(paper):
    texts = [path.read_text(encoding='utf-8') for path in sorted(Path(FOLDER).glob('*.txt'))]
    # The last where there are several editions.
    (*_, text) = (text for text in texts if TITLES[paper] in text[:200])
    text = text.split('\nReferences\n')[0] if paper == 'DLA' else text
    printed = dict(DIANet=dianet, LSA=lsa, DLA=dla, RLA=rla)[paper](text)
    table = figures_of_rows(paper)
    assert set(table) == set(printed)
    differing = {key: (table[key], printed[key]) for key in table if table[key] != {printed[key]}}
    assert not differing
