"""A stage: a sequence of residual blocks joined by a layer interaction."""

from typing import Any, Iterator, List, Optional, Sequence, Tuple, Union

from mmengine.model import BaseModule
from torch import Tensor, nn

from ..interactions import LayerInteraction
from .blocks import ResidualBlock


class Stage(BaseModule):
    """Residual blocks of equal width and the interaction that joins their halves.

    Blocks are named ``0, 1, ...``, as in torchvision's stages, and are found
    by ``stage[i]``, ``len(stage)`` and in a loop over the stage;
    ``stage[i] = ...`` replaces one, such as by what wraps it. They return
    their two halves: the place to watch the output of a block is
    ``stage.outputs[i]``, a module that returns it.

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
        # Before the blocks: tools that draw class activation maps take the network's last norm.
        self.interaction = interaction
        for i, block in enumerate(blocks):
            self.add_module(str(i), block)
        self.outputs = nn.ModuleList(nn.Identity() for _ in blocks)

    def __len__(self) -> int:
        return self.num_blocks

    def __iter__(self) -> Iterator[ResidualBlock]:
        return iter([getattr(self, str(i)) for i in range(self.num_blocks)])

    def __getitem__(self, index: Union[int, slice]) -> Union[ResidualBlock, List[ResidualBlock]]:
        return list(self)[index]

    def __setitem__(self, index: int, block: nn.Module) -> None:
        setattr(self, str(range(self.num_blocks)[index]), block)

    def forward(
        self, x: Tensor, state: Any = None, shared: Optional[LayerInteraction] = None
    ) -> Union[Tensor, Tuple[Tensor, Any]]:
        """Run all blocks.

        Args:
            x (Tensor): Input of shape (N, C_in, H, W).
            state (Any): What the stage before returned as state. Defaults to
                None, as before the first stage.
            shared (LayerInteraction, optional): The interaction that all
                stages share, where this one has none of its own.

        Returns:
            Tensor | Tuple[Tensor, Any]: Output of shape (N, C_out, H // stride,
            W // stride), rounded up. With a shared interaction, also the state
            for the next stage; otherwise it ends here.
        """
        interaction = shared if self.interaction is None else self.interaction
        for i, (block, output) in enumerate(zip(self, self.outputs), self.first_index):
            branch, identity = block(x, interaction.feed(state, i))
            x, state = interaction(branch, identity, state, i)
            x = output(x)
            del branch, identity  # not to be kept through the next block
        return x if shared is None else (x, state)
