"""Training loops that a resumed run continues number for number."""

import random
from functools import partial
from typing import Any, Dict, Optional, Tuple

import numpy as np
import torch
from mmengine.runner import EpochBasedTrainLoop
from mmengine.runner.utils import set_random_seed

from mmdia.registry import LOOPS


def random_states() -> Dict[str, Any]:
    """The states of all random number generators of this process."""
    states = dict(
        python=random.getstate(), numpy=np.random.get_state(), torch=torch.get_rng_state()
    )
    if torch.cuda.is_available():
        states['cuda'] = torch.cuda.get_rng_state()
    return states


def restore_random_states(states: Dict[str, Any]) -> None:
    """Undo what happened to the random numbers since :func:`random_states`."""
    random.setstate(states['python'])
    np.random.set_state(states['numpy'])
    torch.set_rng_state(states['torch'].cpu())
    if 'cuda' in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states['cuda'].cpu())


@LOOPS.register_module()
class ResumableTrainLoop(EpochBasedTrainLoop):
    """Epochs that can be interrupted and continued in their middle.

    Every epoch begins with random numbers of its own, whatever came before,
    so that a run that is resumed at its beginning computes what an
    uninterrupted one does. In the middle of an epoch, the batches that were
    trained on are loaded once more, and dropped, since the random numbers of
    the loader's workers depend on them. The workers must not persist from epoch
    to epoch: their random numbers would.

    Args:
        *args: See :class:`mmengine.runner.EpochBasedTrainLoop`.
        **kwargs: See :class:`mmengine.runner.EpochBasedTrainLoop`.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._position: Optional[Tuple[int, Dict[str, Any]]] = None

    def continue_at(self, batch: int, states: Dict[str, Any]) -> None:
        """Begin the next epoch in its middle.

        Args:
            batch (int): Number of batches that were trained on.
            states (dict): What :func:`random_states` was after them.
        """
        self._position = (batch, states)

    def run_epoch(self) -> None:
        """Train for an epoch, or for the rest of one."""
        self._seed_epoch()
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        batches = iter(self.dataloader)
        first = 0
        if self._position is not None:
            first, states = self._position
            self._position = None
            for _ in range(first):
                next(batches)
            restore_random_states(states)
        for index, batch in enumerate(batches, first):
            self.run_iter(index, batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def _seed_epoch(self) -> None:
        seed = self.runner.seed
        # Samplers are built before a checkpoint brings the seed of its run.
        for sampler in (self.dataloader.sampler, self.dataloader.batch_sampler.sampler):
            if hasattr(sampler, 'seed'):
                sampler.seed = seed
        # MMEngine would give the workers of every epoch the same random numbers.
        start_worker = self.dataloader.worker_init_fn
        if isinstance(start_worker, partial) and 'seed' in start_worker.keywords:
            self.dataloader.worker_init_fn = partial(start_worker, seed=seed + self._epoch)
        different = self.runner._randomness_cfg.get('diff_rank_seed', False)
        set_random_seed(seed + self._epoch, diff_rank_seed=different)
