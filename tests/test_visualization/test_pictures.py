"""The numbers in the pictures are those of independent computations."""

import csv
import sys

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.models import ImageClassifier

from mmdia.models import ResNet
from mmdia.visualization import (
    LayerValues,
    Magnitudes,
    gini_importance,
    grad_cam,
    plot_grad_cam,
    plot_gradients,
    plot_integration,
    plot_layer_curves,
    plot_layer_rows,
    plot_runs,
    plot_scores,
    summarize_scores,
)
from mmdia.visualization.gates import plot_histograms
from mmdia.visualization.style import save_figure


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class TestIntegration:
    def test_planted_dependence_is_found(self):
        first, second, alone = (noise(300, 4, seed=seed) for seed in range(3))
        third = first.sin()  # on the first layer alone
        fourth = second.flip(1) ** 3 + 0.5 * third  # on the second and, less, on the third
        gates = [first, second, third, fourth, alone]
        importances, explained = gini_importance(gates, trees=30, jobs=1)
        assert importances.shape == (4, 4)
        assert np.isnan(importances[np.triu_indices(4, 1)]).all()
        assert importances[1, 0] == 1 and importances[1, 1] < 0.05
        on_first, on_second, on_third = importances[2, :3]
        assert on_second == 1 and on_first + on_third < 0.5
        assert np.nanmax(importances, axis=1).tolist() == [1, 1, 1, 1]
        assert explained[0] < 0.1 and explained[3] < 0.1  # nothing to be found
        assert explained[1] > 0.7

    def test_sums_are_over_the_channels_of_each_layer(self):
        """Against scikit-learn on the whole vector, with layers of different widths."""
        from sklearn.ensemble import RandomForestRegressor

        gates = [noise(60, 3), noise(60, 1, seed=1), noise(60, 2, seed=2)]
        gates[2] += gates[0][:, :2] + gates[1]
        importances, _ = gini_importance(gates, trees=20, seed=3, jobs=1)
        forest = RandomForestRegressor(20, random_state=3)
        forest.fit(torch.cat(gates[:2], 1).numpy(), gates[2].numpy())
        sums = [forest.feature_importances_[:3].sum(), forest.feature_importances_[3]]
        np.testing.assert_allclose(importances[1, :2], np.array(sums) / max(sums))
        again, _ = gini_importance(gates, trees=20, seed=3, jobs=2)
        np.testing.assert_array_equal(importances, again)

    def test_constant_gates_depend_on_nothing(self):
        importances, explained = gini_importance(
            [noise(20, 2), torch.full((20, 2), 0.5)], 5, jobs=1
        )
        assert importances.tolist() == [[0]] and explained.tolist() == [0]

    def test_picture(self):
        result = gini_importance([noise(30, 2, seed=i) for i in range(4)], 5, jobs=1)
        figure = plot_integration(
            {'DIA': {'layer1': result, 'layer2': result}, 'SE': {'layer1': result}}
        )
        panels = [axes for axes in figure.axes if axes.images]
        assert [panel.get_title() for panel in panels] == [
            'DIA\nlayer1',
            'DIA\nlayer2',
            'SE\nlayer1',
        ]
        assert panels[0].get_xlim() == (0.5, 3.5) and panels[0].get_ylim() == (4.5, 1.5)

    def test_without_scikit_learn(self, monkeypatch):
        monkeypatch.setitem(sys.modules, 'sklearn.ensemble', None)
        with pytest.raises(ImportError, match='needs scikit-learn, of the extra "analysis"'):
            gini_importance([noise(5, 2), noise(5, 2)])


class TestLayers:
    values = torch.tensor([[1.0, 2.0, 5.0], [3.0, 2.0, 1.0], [5.0, 2.0, 3.0]])
    blocks = ['layer1.0', 'layer1.1', 'layer2.0']
    model = LayerValues('layer_gate', blocks, values, torch.tensor([7, 2, 7]))

    def test_classes(self):
        classes, means = self.model.by_class()
        assert classes == [2, 7]
        assert means.tolist() == [[3, 2, 1], [3, 2, 4]]
        with pytest.raises(ValueError, match='no classes'):
            self.model._replace(labels=None).by_class()

    def test_normalized(self):
        values = self.model.normalized().values.double().numpy()
        np.testing.assert_allclose(values.mean(0), 0, atol=1e-6)
        np.testing.assert_allclose(values.std(0), [1, 0, 1], rtol=1e-6)

    def test_known_gates_give_a_known_curve(self):
        figure = plot_layer_curves({'RLA': self.model})
        (panel,) = figure.axes
        (points,) = panel.containers
        assert points.lines[0].get_xdata().tolist() == [1, 2, 3]
        assert points.lines[0].get_ydata().tolist() == [3, 2, 3]
        low, high = points.lines[1][0].get_ydata(), points.lines[1][1].get_ydata()
        np.testing.assert_allclose((high - low) / 2, self.values.numpy().std(0), rtol=1e-6)
        marked = panel.lines[-1]
        assert marked.get_xdata().tolist() == [1, 3]
        assert panel.get_ylabel() == 'layer_gate, mean ± 1 s. d.'

    def test_rows(self):
        rows = {'RLA': (['a', 'b', 'c'], self.values)}
        for normalized, limits in ((False, (0, 5)), (True, (-5, 5))):
            figure = plot_layer_rows({'RLA': self.model}, rows, 'class', normalized)
            assert figure.axes[0].images[0].get_clim() == limits
            assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
                'a',
                'b',
                'c',
            ]


def test_scores():
    alone = torch.zeros(2, 4, 3)
    alone[:, 1] = 1
    assert summarize_scores(alone)[1:] == (1, 1)
    assert summarize_scores(alone).mean.tolist() == [0, 1, 0, 0]
    even = summarize_scores(torch.full((2, 2, 3), 0.5))
    assert even.largest == 0.5 and even.effective == pytest.approx(2)
    figure = plot_scores({'MRLA-B': {'layer3': [summarize_scores(torch.ones(1, 1, 1)), even]}})
    shown = figure.axes[0].images[0].get_array()
    assert shown[0, 0] == 1 and np.ma.is_masked(shown[0, 1])


class TestGradients:
    def test_distribution(self):
        parts = [noise(3, 5) * 1e-3, torch.zeros(5), noise(20, seed=1) * 10]
        magnitudes = Magnitudes()
        for part in parts:
            magnitudes.add(part)
        sizes = np.abs(np.concatenate([part.flatten().double().numpy() for part in parts]))
        assert magnitudes.count == 40 and magnitudes.zeros == 5
        assert magnitudes.mean == pytest.approx(sizes.mean())
        assert magnitudes.deviation == pytest.approx(sizes.std())
        widths = np.diff(magnitudes.EDGES)
        assert (magnitudes.density * widths).sum() == pytest.approx(35 / 40)
        above = magnitudes.EDGES[:-1] >= -1
        assert (magnitudes.density * widths)[above].sum() == pytest.approx((sizes > 0.1).mean())

    def test_picture(self):
        one = Magnitudes()
        one.add(torch.full((10,), 10**-4.5))
        figure = plot_gradients({'plain': {'layer1': one}, 'DIA': {'layer1': one, 'layer2': one}})
        assert [len(panel.lines) for panel in figure.axes] == [2, 1]
        line = figure.axes[0].lines[0]
        peak = line.get_xdata()[line.get_ydata().argmax()]
        assert 10**-4.7 < peak < 10**-4.3
        assert line.get_ydata().max() == pytest.approx(5)  # all in a fifth of a decade


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return ImageClassifier(
            backbone=ResNet(
                18, dict(type='mmdia.DIALSTM', ratio=2), base_channels=8, small_stem=True
            ),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='LinearClsHead', num_classes=5, in_channels=64),
        ).eval()


@pytest.mark.parametrize('branches', [False, True])
def test_grad_cam(classifier, branches):
    image = torch.rand(1, 3, 32, 32)
    result = grad_cam(classifier, image, category=3, branches=branches)
    assert len(result.blocks) == 8 and result.maps.shape == (8, 32, 32)
    assert result.score == pytest.approx(classifier(image).softmax(1)[0, 3].item())
    assert all(p.grad is None or not p.grad.any() for p in classifier.parameters())

    maps = {}
    for name in ('layer1.0', 'layer3.1'):
        stage, number = name.split('.')
        stage, number = getattr(classifier.backbone, stage), int(number)
        module = stage[number].bn2 if branches else stage.outputs[number]
        module.register_forward_hook(lambda _, inputs, x, name=name: maps.update({name: x}))
    score = classifier(image)[0, 3]
    for name, x in maps.items():
        (gradient,) = torch.autograd.grad(score, x, retain_graph=True)
        weights = gradient.mean((2, 3), keepdim=True)
        cam = (weights * x).sum(1)[0].clamp_min(0).detach().numpy()
        cam = (cam - cam.min()) / (cam.max() - cam.min() + 1e-7)  # as the package does
        expected = cv2.resize(cam, (32, 32))
        np.testing.assert_allclose(
            result.maps[result.blocks.index(name)], expected, atol=1e-4, err_msg=name
        )


@pytest.mark.parametrize('branches', [False, True])
@pytest.mark.parametrize('number', [2, 4])
def test_grad_cam_of_frozen_stages(classifier, number, branches):
    image = torch.rand(1, 3, 32, 32)
    expected = grad_cam(classifier, image, category=3, branches=branches)
    for stage in classifier.backbone.stages()[:number]:
        stage.requires_grad_(False)
    for module in classifier.backbone.stem_modules():
        module.requires_grad_(False)
    result = grad_cam(classifier, image, category=3, branches=branches)
    np.testing.assert_allclose(result.maps, expected.maps, atol=1e-5)
    assert not image.requires_grad


def test_grad_cam_of_the_predicted_class(classifier):
    image = torch.rand(1, 3, 32, 32)
    result = grad_cam(classifier, image, blocks=['layer4.1'])
    assert result.category == classifier(image).argmax().item()
    picture = (image[0].permute(1, 2, 0) * 255).byte().numpy()
    gates = torch.tensor([0.3])
    figure = plot_grad_cam(picture, {'a': result, 'b': result._replace(gates=gates)}, list('vwxyz'))
    titles = [panel.get_title() for panel in figure.axes]
    name = 'vwxyz'[result.category]
    assert titles == [
        f'a\n{name}, score {result.score:.2f}',
        'layer4.1',
        titles[2],
        'layer4.1\ngate 0.30',
    ]
    frames = [panel.spines['top'].get_linewidth() for panel in figure.axes]
    assert frames[3] > frames[1]


def test_grad_cam_of_what_is_not_there(classifier, monkeypatch):
    image = torch.rand(1, 3, 32, 32)
    with pytest.raises(ValueError, match=r"layer1\.0, layer1\.1, .*got \['layer9'\]"):
        grad_cam(classifier, image, blocks=['layer9'])
    with pytest.raises(ValueError, match=r'in 0 \.\.\. 4, got 5'):
        grad_cam(classifier, image, category=5)
    monkeypatch.setitem(sys.modules, 'pytorch_grad_cam', None)
    with pytest.raises(ImportError, match='needs grad-cam, of the extra "analysis"'):
        grad_cam(classifier, image)


def test_runs():
    run = dict(steps=[1, 2], epoch=2, losses=[1.0, 0.5], metrics={'accuracy/top1': [50.0, 60.0]})
    other = dict(steps=[1, 2], epoch=2, losses=[None, 0.7], metrics={})
    loss, accuracy = plot_runs({'a': run, 'b': other}, ['accuracy/top1']).axes
    assert loss.lines[0].get_ydata().tolist() == [1.0, 0.5]
    assert loss.lines[1].get_xdata().tolist() == [2]
    assert accuracy.lines[0].get_ydata().tolist() == [50.0, 60.0]
    assert (accuracy.get_xlabel(), accuracy.get_ylabel()) == ('epoch', 'accuracy/top1')


def test_histograms():
    figure = plot_histograms(
        'gate', {'layer1.0': torch.tensor([0.0, 1.0]), 'layer1.1': torch.ones(4)}
    )
    shown = figure.axes[0].images[0].get_array()
    assert shown[0, 0] == shown[0, -1] == 0.5 and shown[1, -1] == 1 and shown.sum() == 2
    plot_histograms('gate', {'layer1.0': torch.ones(4)})  # of no width


@pytest.mark.parametrize('suffix', ['.png', '.pdf', '.svg'])
def test_numbers_are_beside_the_picture(tmp_path, suffix):
    def write(rows):
        figure = plot_layer_curves({'RLA': TestLayers.model})
        return save_figure(figure, tmp_path / 'new' / f'a{suffix}', ('x', 'y'), rows)

    path, table = write([('a', 1 / 3)])
    first = path.read_bytes()
    assert table.name == 'a.csv'
    with table.open(newline='') as file:
        assert list(csv.reader(file)) == [['x', 'y'], ['a', '0.333333']]
    write([])
    assert path.read_bytes() == first  # the same picture, the same file
