"""One number per block and image: layer attention curves."""

from typing import List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from .style import DIVERGING, SEQUENTIAL, color, new_figure


class LayerValues(NamedTuple):
    """A number for each block and sample, such as the scalar of RLA.

    Args:
        name (str): What it is, such as ``'layer_gate'``.
        blocks (List[str]): Names of the blocks, such as ``'layer1.0'``.
        values (Tensor): The numbers, of shape (samples, blocks); of vectors the
            means over their entries.
        labels (Tensor, optional): The class of each sample, where it has one.
    """

    name: str
    blocks: List[str]
    values: Tensor
    labels: Optional[Tensor] = None

    def normalized(self) -> 'LayerValues':
        """Less the mean over the samples, divided by their standard deviation, block by block.

        Zero where all samples have the same number.
        """
        deviation, mean = torch.std_mean(self.values, 0, correction=0)
        # Of a constant, rounding leaves a deviation that means nothing.
        constant = deviation <= 1e-6 * mean.abs()
        values = (self.values - mean) / deviation.masked_fill(constant, 1)
        return self._replace(values=values.masked_fill(constant, 0))

    def by_class(self) -> Tuple[List[int], Tensor]:
        """The classes that have samples, and the means over each: (classes, blocks).

        Raises:
            ValueError: If samples have no classes.
        """
        if self.labels is None:
            raise ValueError('these samples have no classes')
        classes = self.labels.unique()
        return classes.tolist(), torch.stack(
            [self.values[self.labels == c].mean(0) for c in classes]
        )

    def first_blocks(self) -> List[int]:
        """The positions of the first blocks of all stages."""
        stages = [block.rpartition('.')[0] for block in self.blocks]
        return [i for i, stage in enumerate(stages) if i == 0 or stages[i - 1] != stage]


def plot_layer_curves(models: Mapping[str, LayerValues]) -> Figure:
    """Draw mean and standard deviation along the depth of networks: a panel per network.

    The first block of each stage is marked.

    Source: `Recurrent Layer Attention Network
    <https://openreview.net/forum?id=Bke5aJBKvH>`_, Fig. 5.

    Args:
        models (Mapping[str, LayerValues]): The networks, by their labels.

    Returns:
        Figure: The figure.
    """
    longest = max(len(model.blocks) for model in models.values())
    figure, panels = new_figure(1, len(models), max(3.6, 0.16 * longest), 2.9)
    for panel, (label, model) in zip(panels[0], models.items(), strict=True):
        deviation, mean = (part.numpy() for part in torch.std_mean(model.values, 0, correction=0))
        blocks = np.arange(1, len(mean) + 1)
        panel.errorbar(
            blocks, mean, deviation, fmt='o-', color=color(0), markersize=4, capsize=2, linewidth=1
        )
        first = model.first_blocks()
        panel.plot(
            blocks[first],
            mean[first],
            'D',
            color=color(1),
            markersize=6,
            zorder=3,
            label='first block of a stage',
        )
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.set(title=label, xlabel='block', ylabel=f'{model.name}, mean ± 1 s. d.')
        panel.grid(alpha=0.3)
        panel.legend(fontsize='small')
    return figure


def plot_layer_rows(
    models: Mapping[str, LayerValues],
    rows: Mapping[str, Tuple[Sequence[str], Tensor]],
    what: str,
    normalized: bool,
) -> Figure:
    """Draw the curves of single images, or of classes, as heat maps: a panel per network.

    Args:
        models (Mapping[str, LayerValues]): The networks, by their labels.
        rows (Mapping[str, Tuple[Sequence[str], Tensor]]): For each, the names
            of the rows, and their numbers of shape (rows, blocks).
        what (str): What a row is, such as ``'class'``.
        normalized (bool): Whether the numbers are normalised.

    Returns:
        Figure: The figure.
    """
    longest = max(len(names) for names, _ in rows.values())
    figure, panels = new_figure(1, len(models), 4, min(max(2.9, 0.2 * longest + 1), 12))
    for panel, (label, model) in zip(panels[0], models.items(), strict=True):
        names, values = rows[label]
        top = max(float(values.abs().max()), 1e-12)
        image = panel.imshow(
            values,
            cmap=DIVERGING if normalized else SEQUENTIAL,
            vmin=-top if normalized else 0,
            vmax=top,
            aspect='auto',
            extent=(0.5, values.shape[1] + 0.5, len(names) - 0.5, -0.5),
            interpolation='nearest',
        )
        for first in model.first_blocks()[1:]:
            panel.axvline(first + 0.5, color='black' if normalized else 'white', linewidth=1.5)
        step = max(1, len(names) // 50)
        panel.set_yticks(range(0, len(names), step), names[::step], fontsize='x-small')
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.set(title=label, xlabel='block', ylabel=what)
        name = f'{model.name}, normalised per block' if normalized else model.name
        figure.colorbar(image, ax=panel, label=name)
    return figure
