"""Maps that the backward pass computes again from others that are kept anyway."""

from contextlib import nullcontext
from typing import Any, ContextManager, Optional

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from .normalization import Normalized

# A context in which everything is kept for the backward pass, as ever.
SAVE_ALL = nullcontext()


def recomputed_relu(branch: Normalized, identity: Optional[Tensor] = None) -> ContextManager:
    """A context in which ``relu(branch + identity)`` is not kept for the backward pass.

    The input of the branch's norm and the shortcut are kept, by other layers
    too. From them it is computed again, once for all that would save it.

    Args:
        branch (Normalized): The branch, whose map the result overwrites.
        identity (Tensor, optional): The shortcut, of shape (N, C, H, W).
            Defaults to None, which stands for zeros.

    Returns:
        ContextManager: The context.
    """
    recipe = Recipe(branch, identity)
    return saved_tensors_hooks(recipe.pack, recipe.unpack)


class Recipe:
    """How to compute a map again; see :func:`recomputed_relu`.

    Args:
        branch (Normalized): The branch.
        identity (Tensor, optional): The shortcut.
    """

    def __init__(self, branch: Normalized, identity: Optional[Tensor]) -> None:
        self.address = branch.map.data_ptr()
        self.branch = branch._replace(map=None, x=branch.x.detach())
        self.identity = None if identity is None else identity.detach()
        self.saved = self.left = 0
        self.result: Optional[Tensor] = None

    def pack(self, tensor: Tensor) -> Any:
        """Keep a tensor, but of the result only its shape."""
        if tensor.data_ptr() != self.address or tensor.numel() != self.branch.x.numel():
            return tensor
        self.saved += 1
        return tensor.shape

    def unpack(self, kept: Any) -> Tensor:
        """Return what was saved."""
        if isinstance(kept, Tensor):
            return kept
        if self.result is None:
            self.result, self.left = self.compute(), self.saved
        result = self.result
        self.left -= 1
        if self.left == 0:
            self.result = None
        return result.view(kept)

    @torch.no_grad()
    def compute(self) -> Tensor:
        """Compute the result again."""
        y = self.branch.repeat()
        return torch.relu_(y if self.identity is None else y.add_(self.identity))
