"""Gradients of what is used many times in a network, computed once for all uses."""

from typing import Any, Callable, Dict, List, Optional, Tuple

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable


class Uses:
    """What the uses of tensors leave for their gradients, backward pass by backward pass.

    Autograd would add up one gradient a use, each as large as the tensors.

    Args:
        gradients (Callable): Takes what the uses left, and returns a gradient
            for each of the tensors.
        *tensors (Tensor): What is used.

    Attributes:
        token (Tensor): An input of all uses, without value or gradient. It
            makes autograd ask for the gradients after the last one.
    """

    def __init__(
        self, gradients: Callable[[List[Any]], Tuple[Tensor, ...]], *tensors: Tensor
    ) -> None:
        self.notes: Dict[int, List[Any]] = {}
        self.token = Gather.apply(self.notes, gradients, *tensors)

    def of_this_pass(self) -> List[Any]:
        """The list of what uses left in the backward pass that is running."""
        return self.notes.setdefault(torch._C._current_graph_task_id(), [])


class Gather(torch.autograd.Function):
    """Where the uses of tensors come together in the backward pass."""

    @staticmethod
    def forward(ctx: FunctionCtx, notes: dict, gradients: Callable, *tensors: Tensor) -> Tensor:
        """Return the token; see :class:`Uses`."""
        ctx.set_materialize_grads(False)
        ctx.notes, ctx.gradients = notes, gradients
        return tensors[0].new_empty(())

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, _: None) -> Tuple[Optional[Tensor], ...]:
        """Return the gradients of the tensors."""
        notes = ctx.notes.pop(torch._C._current_graph_task_id())
        # Passes through a part of the network leave notes that nobody takes.
        ctx.notes.clear()
        return None, None, *ctx.gradients(notes)
