"""How much a layer draws on each layer before it, by the Gini importance of a random forest."""

from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Sequence

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from .style import SEQUENTIAL, import_extra, panels_of_stages


class Integration(NamedTuple):
    """What the gates of the layers of a stage depend on.

    Args:
        importances (np.ndarray): Importances of shape (n - 1, n - 1): row j is
            layer j + 2, column i is layer i + 1; NaN where the source is not
            before the target. A row of zeros says that the gates of the layer
            are constant.
        explained (np.ndarray): R² of each forest on the samples that its trees
            have not seen (out of bag), of shape (n - 1,). Where it is near 0,
            the layer does not depend on those before, and its row means nothing.
    """

    importances: np.ndarray
    explained: np.ndarray


def gini_importance(
    gates: Sequence[Tensor],
    trees: int = 100,
    seed: int = 0,
    jobs: Optional[int] = -1,
    progress: Callable[[], None] = lambda: None,
) -> Integration:
    """Feature integration of a stage: what the gates of a layer depend on.

    For each layer j = 2, ..., n, a random forest learns the gates h_j of all
    channels from those of the layers before, [h_1, ..., h_(j-1)], side by
    side. Its importances are summed over the channels of each source layer, and
    divided by the largest sum.

    Source: Huang et al., `DIANet: Dense-and-Implicit Attention Network
    <https://arxiv.org/abs/1905.10671>`_, Algorithm 1. As printed, its loops do
    not fit the sizes: j begins at 1, where there is no source; x has
    ``(f - j) * c`` columns in place of the ``(j - 1) * c`` that ``[h_1, ...,
    h_(j-1)]`` has; k ends at ``f - j`` in place of their number; and a layer
    ends when ``cnt`` is ``c - 1``, one channel early. This is the reading that
    its text and figures leave: one sum for each source layer.

    Args:
        gates (Sequence[Tensor]): Gates of each layer of a stage in their order,
            of shape (samples, C).
        trees (int): Number of trees of a forest. Defaults to 100.
        seed (int): Seed of the forests. Defaults to 0.
        jobs (int, optional): Number of processor cores; -1 for all.
            Defaults to -1.
        progress (Callable): Called after each forest.

    Returns:
        Integration: The importances, and how well the forests predict.

    Raises:
        ImportError: If scikit-learn is not installed.
    """
    forests = import_extra('sklearn.ensemble', 'scikit-learn')
    columns = [gate.flatten(1).numpy() for gate in gates]
    importances = np.full((len(columns) - 1, len(columns) - 1), np.nan)
    explained = np.zeros(len(columns) - 1)
    for j in range(1, len(columns)):
        forest = forests.RandomForestRegressor(
            trees, n_jobs=jobs, random_state=seed, oob_score=True
        )
        target = columns[j][:, 0] if columns[j].shape[1] == 1 else columns[j]
        forest.fit(np.concatenate(columns[:j], axis=1), target)
        widths = np.cumsum([column.shape[1] for column in columns[: j - 1]], dtype=int)
        shares = [part.sum() for part in np.split(forest.feature_importances_, widths)]
        largest = max(shares)
        importances[j - 1, :j] = np.array(shares) / largest if largest > 0 else 0.0
        explained[j - 1] = forest.oob_score_ if largest > 0 else 0.0
        progress()
    return Integration(importances, explained)


def plot_integration(models: Mapping[str, Mapping[str, Integration]]) -> Figure:
    """Draw feature integration: a heat map per stage of each model, with R² beside each row.

    Args:
        models (Mapping[str, Mapping[str, Integration]]): For each model, by its
            label, what :func:`gini_importance` returns for each stage.

    Returns:
        Figure: The figure.
    """
    figure, panels = panels_of_stages(models, 2.9, 2.7)
    for panel, title, (values, explained) in panels:
        size = len(values)
        image = panel.imshow(
            values,
            cmap=SEQUENTIAL,
            vmin=0,
            vmax=1,
            extent=(0.5, size + 0.5, size + 1.5, 1.5),
            interpolation='nearest',
        )
        panel.locator_params(integer=True, nbins=6)
        panel.set(title=title, xlabel='source block', ylabel='target block')
        style: Dict[str, Any] = dict(fontsize=min(7, 90 / size), va='center', clip_on=False)
        panel.text(size + 0.6, 1.3, 'R²', **style)
        for row, value in enumerate(explained, 2):
            panel.text(size + 0.6, row, f'{value:.2f}', **style)
    figure.colorbar(
        image, ax=[panel for panel, *_ in panels], label='Gini importance, row maximum = 1'
    )
    return figure
