"""A stage: a sequence of residual blocks joined by a layer interaction."""

from typing import Any, Iterator, Optional, Sequence, Tuple

from mmengine.model import BaseModule
from torch import Tensor

from ..interactions import LayerInteraction
from .blocks import ResidualBlock


class Stage(BaseModule):
    """Residual blocks of equal width and the interaction that joins their halves.

    Blocks are named ``0, 1, ...``, as in torchvision's stages.

    Args:
        blocks (Sequence[ResidualBlock]): The blocks.
        interaction (LayerInteraction, optional): The interaction of this
            stage. Defaults to None: the caller of :meth:`forward` brings one
            that it shares among stages.
        first_index (int): Number of the first block within the scope of the
            interaction. Defaults to 0.
    """

    def __init__(
        self,
        blocks: Sequence[ResidualBlock],
        interaction: Optional[LayerInteraction] = None,
        first_index: int = 0,
    ) -> None:
        super().__init__()
        self.num_blocks = len(blocks)
        self.first_index = first_index
        for i, block in enumerate(blocks):
            self.add_module(str(i), block)
        self.interaction = interaction

    def blocks(self) -> Iterator[ResidualBlock]:
        """The blocks in their order."""
        return (getattr(self, str(i)) for i in range(self.num_blocks))

    def forward(
        self, x: Tensor, state: Any = None, interaction: Optional[LayerInteraction] = None
    ) -> Tuple[Tensor, Any]:
        """Run all blocks.

        Args:
            x (Tensor): Input of shape (N, C_in, H, W).
            state (Any): What the stage before returned as state. Defaults to
                None, as before the first stage.
            interaction (LayerInteraction, optional): The interaction shared
                among stages, where this stage has none.

        Returns:
            Tuple[Tensor, Any]: Output of shape (N, C_out, H // stride,
            W // stride), rounded up, and the state for the next stage.
        """
        interaction = self.interaction if interaction is None else interaction
        state = interaction.begin(state)
        for i, block in enumerate(self.blocks(), self.first_index):
            x, state = interaction.run(block, x, state, i)
        return x, state
