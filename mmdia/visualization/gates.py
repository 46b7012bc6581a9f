"""Gates, and other values, of all blocks in one picture."""

from typing import Mapping

import torch
from matplotlib.figure import Figure
from torch import Tensor

from .style import SEQUENTIAL, new_figure

BINS = 40


def plot_gates(gates: Mapping[str, Tensor]) -> Figure:
    """Draw gates as heat maps: a panel per stage, a row per sample, a column per channel.

    Args:
        gates (Mapping[str, Tensor]): For each stage, the gates of its blocks,
            of shape (blocks, rows, C): one row per sample, or the means over the
            images of each class. See :class:`Recorder`.

    Returns:
        Figure: The figure; ``figure.savefig(path)`` writes it.
    """
    figure, (panels,) = new_figure(1, len(gates), 4, 4)
    top = max(1.0, max(float(stage.max()) for stage in gates.values()))
    for panel, (name, stage) in zip(panels, gates.items(), strict=True):
        blocks, rows, _ = stage.shape
        image = panel.imshow(
            stage.flatten(0, 1), vmin=0, vmax=top, aspect='auto', interpolation='nearest'
        )
        for block in range(1, blocks):
            panel.axhline(block * rows - 0.5, color='white', linewidth=2)
        panel.set_yticks([(block + 0.5) * rows - 0.5 for block in range(blocks)], range(blocks))
        panel.set(title=name, xlabel='channel', ylabel='block')
    figure.colorbar(image, ax=panels, label='gate')
    return figure


def plot_histograms(name: str, values: Mapping[str, Tensor]) -> Figure:
    """Draw the distribution of a value in every block, as a heat map: a row per block.

    Args:
        name (str): What the value is.
        values (Mapping[str, Tensor]): The values of each block, of any shape.

    Returns:
        Figure: The figure.
    """
    low = min(float(block.min()) for block in values.values())
    high = max(float(block.max()) for block in values.values())
    high = high if high > low else low + 1
    rows = [
        torch.histc(block.float(), BINS, low, high) / block.numel() for block in values.values()
    ]
    figure, panels = new_figure(1, 1, 5, max(2.5, 0.2 * len(rows) + 1))
    (panel,) = panels[0]
    image = panel.imshow(
        torch.stack(rows),
        cmap=SEQUENTIAL,
        aspect='auto',
        extent=(low, high, len(rows) - 0.5, -0.5),
        interpolation='nearest',
    )
    panel.set_yticks(range(len(rows)), values, fontsize='small')
    panel.set(xlabel=name, ylabel='block')
    figure.colorbar(image, ax=panel, label=f'share in 1/{BINS} of the range')
    return figure
