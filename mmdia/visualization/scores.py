"""How much a block attends to each block before it."""

from typing import List, Mapping, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from .style import SEQUENTIAL, panels_of_stages


class Scores(NamedTuple):
    """The attention of a block to the blocks of its stage so far, itself included.

    Args:
        mean (Tensor): Means over samples and heads, of shape (t,), which sum to 1.
        largest (float): The largest score of a head, its mean over samples and
            heads: 1 where every head attends to one block alone.
        effective (float): The exponential of a head's entropy, its mean over
            samples and heads: to how many blocks a head attends.
    """

    mean: Tensor
    largest: float
    effective: float


def summarize_scores(scores: Tensor) -> Scores:
    """Summarize the scores of a block.

    Args:
        scores (Tensor): Scores of shape (samples, t, heads).
    """
    entropy = -(scores.clamp_min(1e-30).log() * scores).sum(1)
    return Scores(scores.mean((0, 2)), scores.amax(1).mean().item(), entropy.exp().mean().item())


def plot_scores(models: Mapping[str, Mapping[str, List[Scores]]]) -> Figure:
    """Draw scores, block against earlier block: a panel per stage of each model.

    Source: Wang et al., `Strengthening Layer Interaction via Dynamic Layer
    Attention <https://arxiv.org/abs/2406.13392>`_, Fig. 2.

    Args:
        models (Mapping[str, Mapping[str, List[Scores]]]): For each model, by
            its label, and each stage, the scores of its blocks.

    Returns:
        Figure: The figure.
    """
    figure, panels = panels_of_stages(models, 3.1, 2.8)
    for panel, title, blocks in panels:
        size = len(blocks)
        values = np.full((size, size), np.nan)
        for i, block in enumerate(blocks):
            values[i, : i + 1] = block.mean
        image = panel.imshow(
            values,
            cmap=SEQUENTIAL,
            vmin=0,
            vmax=1,
            extent=(0.5, size + 0.5, size + 0.5, 0.5),
            interpolation='nearest',
        )
        panel.locator_params(integer=True, nbins=9)
        panel.set(title=title, xlabel='attended block', ylabel='block')
    figure.colorbar(image, ax=[panel for panel, *_ in panels], label='attention score, mean')
    return figure
