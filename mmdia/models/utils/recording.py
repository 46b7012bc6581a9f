"""What modules compute and do not return, shown to whoever records it."""

from typing import Callable, List

from torch import Tensor

Listener = Callable[[str, Tensor, int], None]
LISTENERS: List[Listener] = []


def record(name: str, value: Tensor, dim: int = 0) -> None:
    """Show a value to every :class:`~mmdia.visualization.Recorder` that is at work.

    An interaction, an attention or any other module that runs within a block
    calls it where it has computed what is worth seeing. It does nothing while
    nobody records, and never changes the value.

    Names have one meaning in all methods:

    ==================  ======================  ========================================
    Name                Shape                   Meaning
    ==================  ======================  ========================================
    ``gate``            (N, C)                  multiplies the channels of the branch
    ``spatial_gate``    (N, groups, H, W)       multiplies its positions
    ``spatial_weight``  (N, 1, H, W)            weighs the positions for a mean over them
    ``pair_weight``     (N, P, Q)               weighs Q positions for each of P positions
    ``added``           (N, C)                  is added to all positions
    ``layer_gate``      (N, 1) or (N, C)        multiplies the branch of a whole block
    ``shortcut_gate``   (N, C)                  multiplies the channels of the shortcut
    ``layer_score``     (N, t, heads)           weighs the t blocks so far, which sum to 1
    ``own_score``       (N, heads)              weighs the block beside the one before
    ``renewal``         (N, t, C)               multiplies the values of t blocks before
    ``hidden``          (N, M) or (N, M, H, W)  the hidden state of a recurrence, h
    ``memory``          (N, M)                  the memory of a cell, c
    ==================  ======================  ========================================

    Args:
        name (str): What the value is.
        value (Tensor): The value, with a dimension of samples.
        dim (int): That dimension. Defaults to 0.
    """
    for listener in LISTENERS:
        listener(name, value, dim)
