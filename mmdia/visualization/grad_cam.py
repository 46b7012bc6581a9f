"""Which parts of an image blocks respond to: Grad-CAM."""

from typing import List, Mapping, NamedTuple, Optional, Sequence

import cv2
import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmdia.models.backbones.blocks import ResidualBlock
from mmdia.models.backbones.stage import Stage

from .style import SEQUENTIAL, color, import_extra, new_figure


class BlockMaps(NamedTuple):
    """Grad-CAM of one image at some blocks of a model.

    Args:
        blocks (List[str]): Names of the blocks.
        maps (np.ndarray): A map for each, from 0 to 1, of the size of the
            image: (blocks, H, W).
        category (int): The class whose score was explained.
        score (float): Its softmax score.
        gates (Tensor, optional): A number for each block, to be shown with it,
            such as the layer attention of RLA. Defaults to None.
    """

    blocks: List[str]
    maps: np.ndarray
    category: int
    score: float
    gates: Optional[Tensor] = None


def block_modules(model: nn.Module, branches: bool) -> Mapping[str, nn.Module]:
    """The modules that return the outputs of all blocks, by the names of the blocks.

    Args:
        model (nn.Module): A network.
        branches (bool): Whether to take those of the residual branches instead.
    """
    modules = {}
    for name, stage in model.named_modules():
        if isinstance(stage, Stage):
            for i, (block, output) in enumerate(zip(stage, stage.outputs)):
                modules[f'{name}.{i}'] = last_layer(block) if branches else output
    return modules


def last_layer(block: ResidualBlock) -> nn.Module:
    """The last layer of the residual branch: a norm, or a convolution where none follows."""
    if block.normalize and not block.preactivation:
        return getattr(block, block.norm_names[-1])
    return getattr(block, f'conv{block.num_convs}')


def grad_cam(
    model: BaseModel,
    image: Tensor,
    category: Optional[int] = None,
    blocks: Optional[Sequence[str]] = None,
    branches: bool = False,
) -> BlockMaps:
    """Compute Grad-CAM at blocks of a classifier, all in one backward pass.

    Source: Selvaraju et al., `Grad-CAM: Visual Explanations from Deep Networks
    via Gradient-based Localization <https://arxiv.org/abs/1610.02391>`_, by the
    package ``grad-cam``.

    Args:
        model (BaseModel): A classifier of MMPretrain with a backbone of this package,
            which is set to evaluation.
        image (Tensor): A preprocessed image of shape (1, 3, H, W).
        category (int, optional): The class whose score is explained. Defaults
            to the one with the highest score.
        blocks (Sequence[str], optional): Names of blocks, such as
            ``'layer4.1'``. Defaults to all.
        branches (bool): Whether to look at the residual branches of the blocks,
            before their gates, instead of the blocks' outputs.
            Defaults to False.

    Returns:
        BlockMaps: The maps, each scaled to 0 ... 1. A map of zeros says that
        nothing there speaks for the class.

    Raises:
        ImportError: If the package is not installed.
        ValueError: If the model has no such block or class.
    """
    package = import_extra('pytorch_grad_cam', 'grad-cam')
    targets = import_extra('pytorch_grad_cam.utils.model_targets', 'grad-cam')
    outputs = block_modules(model.backbone, branches)
    blocks = list(outputs if blocks is None else blocks)
    unknown = [block for block in blocks if block not in outputs]
    if unknown or not blocks:
        raise ValueError(f'blocks must be some of {", ".join(outputs)}, got {blocks}')

    class BlockCAM(package.GradCAM):  # type: ignore[name-defined]
        def aggregate_multi_layers(self, maps: List[np.ndarray]) -> np.ndarray:
            """All maps in place of their mean."""
            return np.concatenate(maps, axis=1)

    with BlockCAM(model, [outputs[block] for block in blocks]) as cam, torch.enable_grad():
        logits = model.eval()(image).detach()
        if category is None:
            category = int(logits.argmax())
        if not 0 <= category < logits.shape[1]:
            raise ValueError(f'category must be in 0 ... {logits.shape[1] - 1}, got {category}')
        cam.activations_and_grads.clear()
        image = image.detach().requires_grad_()  # so that gradients reach frozen blocks
        maps = cam(image, [targets.ClassifierOutputTarget(category)])[0]
    model.zero_grad()
    return BlockMaps(blocks, maps, category, logits.softmax(1)[0, category].item())


def overlay(image: np.ndarray, cam: np.ndarray) -> np.ndarray:
    """Lay a map over an image.

    Args:
        image (np.ndarray): RGB image of shape (H, W, 3), uint8.
        cam (np.ndarray): Map of shape (H', W'), from 0 to 1.

    Returns:
        np.ndarray: RGB image of shape (H, W, 3), uint8.
    """
    cam = cv2.resize(cam, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    colors = colormaps[SEQUENTIAL](cam)[..., :3] * 255
    gray = image.mean(-1, keepdims=True)
    return (0.5 * gray + 0.5 * colors).round().astype(np.uint8)


def plot_grad_cam(
    image: np.ndarray, models: Mapping[str, BlockMaps], classes: Optional[Sequence[str]] = None
) -> Figure:
    """Draw Grad-CAM: a row per model, first the image, then a panel per block.

    Where a model has gates, each panel names that of its block, and the block
    of the highest one has a frame.

    Args:
        image (np.ndarray): RGB image of shape (H, W, 3), uint8.
        models (Mapping[str, BlockMaps]): What :func:`grad_cam` returns for each
            model, by its label.
        classes (Sequence[str], optional): Names of the classes.

    Returns:
        Figure: The figure.
    """
    columns = 1 + max(len(model.blocks) for model in models.values())
    figure, panels = new_figure(len(models), columns, 1.5, 1.9)
    for row, (label, model) in zip(panels, models.items(), strict=True):
        for panel in row:
            panel.set(xticks=[], yticks=[])
        for panel in row[1 + len(model.blocks) :]:
            panel.set_axis_off()
        row[0].imshow(image)
        name = classes[model.category] if classes else f'class {model.category}'
        row[0].set_title(f'{label}\n{name}, score {model.score:.2f}', fontsize='small')
        highest = None if model.gates is None else int(model.gates.argmax())
        for i, (panel, block, cam) in enumerate(zip(row[1:], model.blocks, model.maps)):
            panel.imshow(overlay(image, cam))
            title = block if model.gates is None else f'{block}\ngate {model.gates[i]:.2f}'
            panel.set_title(title, fontsize='small')
            if i == highest:
                for side in panel.spines.values():
                    side.set(color=color(1), linewidth=3)
    return figure
