"""The channel gates of recurrent cells: what they are, and how they look."""

from contextlib import ExitStack
from typing import Dict, Mapping

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from mmdia.models import RecurrentGate


@torch.no_grad()
def record_gates(model: nn.Module, inputs: Tensor) -> Dict[str, Tensor]:
    """Run a model once and return the gates of all blocks.

    A gate multiplies a channel of the residual branch of a block. The model
    runs in the mode that it is in, without gradients: set it to evaluation, or
    its batch norms take the inputs into their statistics.

    Args:
        model (nn.Module): A backbone with DIA-LSTM, or another
            :class:`~mmdia.models.RecurrentGate`, or a model that has one.
        inputs (Tensor): What ``model`` takes, such as preprocessed images of
            shape (N, 3, H, W).

    Returns:
        Dict[str, Tensor]: For each stage, by the name of its module, the gates
        of its blocks, of shape (blocks, N, C), float32 on the CPU.

    Raises:
        ValueError: If no stage of the model has such gates.

    Example:
        >>> import torch
        >>> from mmdia.models import DIAResNet
        >>> from mmdia.visualization import record_gates
        >>> gates = record_gates(DIAResNet(18).eval(), torch.rand(2, 3, 64, 64))
        >>> tuple(gates['layer4'].shape)
        (2, 2, 512)
    """
    gates = {}

    def record(stage, interaction, output):
        _, (hidden, *_) = output
        gate = interaction.gate_scale * hidden
        gates.setdefault(stage, []).append(gate.float().cpu())

    with ExitStack() as hooks:
        for name, module in model.named_modules():
            if isinstance(module, RecurrentGate):
                stage = name.removesuffix('.interaction')
                hook = module.register_forward_hook(
                    lambda module, _, output, stage=stage: record(stage, module, output)
                )
                hooks.callback(hook.remove)
        model(inputs)
    if not gates:
        raise ValueError(f'no stage of the {type(model).__name__} has a recurrent gate')
    return {stage: torch.stack(blocks) for stage, blocks in gates.items()}


def plot_gates(gates: Mapping[str, Tensor]) -> Figure:
    """Draw gates as heat maps: a panel a stage, a row a sample, a column a channel.

    Args:
        gates (Mapping[str, Tensor]): For each stage, the gates of its blocks,
            of shape (blocks, rows, C): those of :func:`record_gates`, or means
            of them over the images of each class.

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
