"""The gates of all channels as a heat map."""

from typing import Mapping

from matplotlib.figure import Figure
from torch import Tensor


def plot_gates(gates: Mapping[str, Tensor]) -> Figure:
    """Draw gates as heat maps: a panel a stage, a row a sample, a column a channel.

    Args:
        gates (Mapping[str, Tensor]): For each stage, the gates of its blocks,
            of shape (blocks, rows, C): one row a sample, or the means over the
            images of each class. See :class:`Recorder`.

    Returns:
        Figure: The figure; ``figure.savefig(path)`` writes it.
    """
    figure = Figure(figsize=(4 * len(gates), 4), layout='constrained')
    panels = figure.subplots(1, len(gates), squeeze=False)[0]
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
