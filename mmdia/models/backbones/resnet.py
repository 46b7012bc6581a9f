"""ResNet for images of ImageNet's size."""

from typing import Optional

from mmdia.registry import MODELS
from mmdia.utils import check_choice

from .blocks import BasicBlock, Bottleneck
from .network import ResidualNetwork


@MODELS.register_module()
class ResNet(ResidualNetwork):
    """ResNet with any way to combine its layers; by default the plain one.

    Names of parameters are torchvision's, plus ``layerN.interaction.*`` or
    ``interaction.*``, so that checkpoints of torchvision, timm, MMPretrain and
    MMDetection load. With the plain interaction it computes bit for bit what
    MMPretrain's and MMDetection's ResNet do.

    ========================  ==================================
    network                   arguments
    ========================  ==================================
    ResNeXt-50 32x4d          ``groups=32, base_width=4``
    Wide ResNet-50-2          ``base_width=128``
    ResNet-V1c                ``deep_stem=True``
    ResNet-V1d                ``deep_stem=True, avg_down=True``
    with stride 8             ``strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)``
    for small images          ``small_stem=True``
    ========================  ==================================

    Source: He et al., `Deep Residual Learning for Image Recognition
    <https://arxiv.org/abs/1512.03385>`_; in groups: Xie et al., `Aggregated
    Residual Transformations for Deep Neural Networks
    <https://arxiv.org/abs/1611.05431>`_; V1c and V1d: He et al., `Bag of
    Tricks for Image Classification <https://arxiv.org/abs/1812.01187>`_.

    Args:
        depth (int): Depth, one of 18, 34, 50, 101, 152.
        interaction (dict, optional): Config of the interaction, such as
            ``dict(type='mmdia.DIALSTM', ratio=20)``. Defaults to None, the
            plain residual sum. See :func:`mmdia.apis.list_interactions`.
        zero_init_residual (bool, optional): Whether the last norm of every
            branch starts with weight 0. Defaults to True where there is one.
        **kwargs: See :class:`~mmdia.models.ResidualNetwork`.

    Raises:
        TypeError: If an argument is of a wrong type.
        ValueError: If an argument has a value that is not allowed.

    Example:
        >>> import torch
        >>> from mmdia.models import ResNet
        >>> model = ResNet(50, interaction=dict(type='mmdia.DIALSTM'), out_indices=(0, 1, 2, 3))
        >>> for level in model(torch.rand(1, 3, 64, 64)):
        ...     print(tuple(level.shape))
        (1, 256, 16, 16)
        (1, 512, 8, 8)
        (1, 1024, 4, 4)
        (1, 2048, 2, 2)
    """

    arch_settings = {
        18: (BasicBlock, (2, 2, 2, 2)),
        34: (BasicBlock, (3, 4, 6, 3)),
        50: (Bottleneck, (3, 4, 6, 3)),
        101: (Bottleneck, (3, 4, 23, 3)),
        152: (Bottleneck, (3, 8, 36, 3)),
    }

    def __init__(
        self,
        depth: int,
        interaction: Optional[dict] = None,
        zero_init_residual: Optional[bool] = None,
        **kwargs,
    ) -> None:
        check_choice('depth', depth, self.arch_settings)
        if zero_init_residual is None:
            zero_init_residual = kwargs.get('normalize', True)
        super().__init__(
            *self.arch_settings[depth],
            interaction,
            zero_init_residual=zero_init_residual,
            **kwargs,
        )
        self.depth = depth
