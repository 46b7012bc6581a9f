"""How large the gradients at the outputs of stages are."""

from typing import Dict, List, Mapping

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from .style import LINES, add_legend, color, new_figure

DECADES = (-16, 4)
BINS_A_DECADE = 5
LEAST_DENSITY = 1e-3  # what is drawn


class Magnitudes:
    """The distribution of the absolute values of gradients, added up batch by batch.

    Attributes:
        count (int): How many there are, zeros included.
        zeros (int): How many are zero.
        counts (np.ndarray): How many there are in each of the intervals whose
            borders are ``EDGES``, by their logarithms to the base of 10; the
            outermost take what is smaller or larger.
    """

    EDGES = np.linspace(*DECADES, (DECADES[1] - DECADES[0]) * BINS_A_DECADE + 1)

    def __init__(self) -> None:
        self.count = self.zeros = 0
        self.counts = np.zeros(len(self.EDGES) - 1, dtype=np.int64)
        self._sum = self._sum_of_squares = 0.0

    def add(self, gradient: Tensor) -> None:
        """Add the gradients of a batch, of any shape."""
        sizes = gradient.detach().abs().flatten().double().cpu()
        self.count += sizes.numel()
        self.zeros += int((sizes == 0).sum())
        self._sum += sizes.sum().item()
        self._sum_of_squares += sizes.square().sum().item()
        logs = sizes[sizes > 0].log10().clamp(*DECADES)
        self.counts += np.histogram(logs.numpy(), self.EDGES)[0]

    @property
    def mean(self) -> float:
        """The mean."""
        return self._sum / max(self.count, 1)

    @property
    def deviation(self) -> float:
        """The standard deviation."""
        return max(self._sum_of_squares / max(self.count, 1) - self.mean**2, 0.0) ** 0.5

    @property
    def density(self) -> np.ndarray:
        """The share of all gradients in each interval, a decade; zeros are in none."""
        return self.counts * (BINS_A_DECADE / max(self.count, 1))


def plot_gradients(models: Mapping[str, Mapping[str, Magnitudes]]) -> Figure:
    """Draw distributions of gradients, models over one another: a panel per stage.

    Source: Huang et al., `DIANet: Dense-and-Implicit Attention Network
    <https://arxiv.org/abs/1905.10671>`_, Fig. 6.

    Args:
        models (Mapping[str, Mapping[str, Magnitudes]]): For each model, by its
            label, and each stage, the gradients at its output.

    Returns:
        Figure: The figure.
    """
    stages: Dict[str, List[str]] = {}
    for label, magnitudes in models.items():
        for stage in magnitudes:
            stages.setdefault(stage, []).append(label)
    figure, panels = new_figure(1, len(stages), 3.2, 2.9)
    centers = 10 ** ((Magnitudes.EDGES[1:] + Magnitudes.EDGES[:-1]) / 2)
    everything = [each for magnitudes in models.values() for each in magnitudes.values()]
    shown = np.max([each.density for each in everything], axis=0) >= LEAST_DENSITY
    for panel, stage in zip(panels[0], stages, strict=True):
        for number, (label, magnitudes) in enumerate(models.items()):
            if stage in magnitudes:
                density = magnitudes[stage].density
                line = LINES[number % len(LINES)]
                panel.plot(centers, density, line, color=color(number), linewidth=1.6, label=label)
        panel.set_xscale('log')
        if shown.any():
            panel.set_xlim(centers[shown].min(), centers[shown].max())
        panel.set_ylim(bottom=0)
        panel.set(title=stage, xlabel='|∂L / ∂output|')
        panel.grid(alpha=0.3)
    panels[0, 0].set_ylabel('share per decade')
    add_legend(figure, panels[0, 0])
    return figure
