"""Mixed precision that needs no GPU."""

from contextlib import contextmanager
from typing import Iterator

import torch
from mmengine.optim import OptimWrapper
from mmengine.runner.amp import autocast
from torch import nn

from mmdia.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Trains in automatic mixed precision with bfloat16, on CPUs and GPUs.

    MMEngine's ``AmpOptimWrapper`` runs on accelerators alone, for its gradient scaler.
    bfloat16 has the range of float32, and no gradient needs to be scaled.

    Args:
        *args: See :class:`mmengine.optim.OptimWrapper`.
        **kwargs: See :class:`mmengine.optim.OptimWrapper`.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Context of the forward pass.

        Args:
            model (nn.Module): The model that is trained.
        """
        with super().optim_context(model), autocast(dtype=torch.bfloat16):
            yield
