"""Training loops that a resumed run continues number for number."""

import logging
import random
from functools import partial
from itertools import count, islice
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

import numpy as np
import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.logging import print_log
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from mmengine.runner.utils import set_random_seed
from torch.utils.data import DataLoader, Dataset, Sampler

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


def common_seed(runner: Runner) -> int:
    """The seed of a run, the same in all its processes."""
    different = runner._randomness_cfg.get('diff_rank_seed', False)
    return runner.seed - get_rank() if different else runner.seed


def seed_samplers(loader: DataLoader, seed: int) -> None:
    """Set the seed of samplers, which are built before a checkpoint brings that of its run."""
    sampler: Any
    for sampler in (loader.sampler, getattr(loader.batch_sampler, 'sampler', None)):
        if hasattr(sampler, 'seed'):
            sampler.seed = seed


def validate_if_due(loop: BaseLoop, done: int, last: int) -> None:
    """Validate behind an epoch or an iteration.

    The random numbers depend on it alone, so that a run that is resumed before its
    validation finds what an uninterrupted one does.

    Args:
        loop (BaseLoop): The training loop.
        done (int): Number of epochs, or iterations, that are done.
        last (int): Number of all of them.
    """
    due = done % loop.val_interval == 0 or done == last
    if loop.runner.val_loop is not None and done >= loop.val_begin and due:
        set_random_seed(loop.runner.seed + done)
        loop.runner.val_loop.run()


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
        # Where the next epoch begins: the number of batches that were trained on, and what
        # random_states was after them. It begins anew if it has fewer by now.
        self.position: Optional[Tuple[int, Dict[str, Any]]] = None
        # Whether the validation of the last epoch is behind a run that is resumed.
        self.validated = False

    def run(self) -> torch.nn.Module:
        """Train for all epochs that are left."""
        self.runner.call_hook('before_train')
        if self._epoch > 0 and not self.validated:
            self._validate()
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self._validate()
        self.runner.call_hook('after_train')
        return self.runner.model

    def run_epoch(self) -> None:
        """Train for an epoch, or for the rest of one."""
        self._seed_epoch()
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        batches = iter(self.dataloader)
        first = 0
        if self.position is not None:
            first, states = self.position
            self.position = None
            if first > len(self.dataloader):
                print_log(
                    f'{first} batches of this epoch were trained on, now it has '
                    f'{len(self.dataloader)}: beginning it anew',
                    logger='current',
                    level=logging.WARNING,
                )
                first = 0
            else:
                for _ in range(first):
                    next(batches)
                restore_random_states(states)
        for index, batch in enumerate(batches, first):
            self.run_iter(index, batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def _validate(self) -> None:
        self._decide_current_val_interval()
        validate_if_due(self, self._epoch, self._max_epochs)

    def _seed_epoch(self) -> None:
        seed = common_seed(self.runner)
        seed_samplers(self.dataloader, seed)
        # MMEngine would give the workers of every epoch the same random numbers.
        start_worker = self.dataloader.worker_init_fn
        if isinstance(start_worker, partial) and 'seed' in start_worker.keywords:
            self.dataloader.worker_init_fn = partial(start_worker, seed=seed + self._epoch)
        set_random_seed(self.runner.seed + self._epoch)


def seed_process(seed: int) -> None:
    """Seed the random numbers of this process, which may be a worker."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def seeded_batches(batch_sampler: Sampler, seed: int) -> Iterator[List[int]]:
    """The indices of endless batches, each behind a seed of its own.

    Args:
        batch_sampler (Sampler): Gives the indices, of one epoch or for ever.
        seed (int): Seed of the run.

    Raises:
        ValueError: If an epoch has no batch.
    """
    sampler: Any = getattr(batch_sampler, 'sampler', None)
    for epoch in count():
        first = seed
        if hasattr(sampler, 'set_epoch'):
            sampler.set_epoch(epoch)
        # Some samplers draw from the random numbers of the process, the same in all processes.
        seed_process(seed)
        for indices in batch_sampler:
            yield [seed + get_rank(), *indices]
            seed += get_world_size()
            seed_process(seed)
        if seed == first:
            raise ValueError(
                'train_dataloader gives no batch: with drop_last=True, batch_size must be at most '
                'the number of images'
            )


class SeededDataset(Dataset):
    """A dataset that loads each batch of :func:`seeded_batches` with its random numbers.

    Args:
        dataset (Dataset): The dataset.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __getitems__(self, batch: List[int]) -> List[Any]:
        """Load the images of a batch."""
        seed, *indices = batch
        seed_process(seed)
        return [self.dataset[index] for index in indices]


@LOOPS.register_module()
class ResumableIterTrainLoop(IterBasedTrainLoop):
    """Iterations that can be continued from any of them.

    Every batch is loaded, and every iteration computed, with random numbers of
    its own, whatever came before. A run that is resumed computes what an
    uninterrupted one does, and loads nothing that was trained on.

    Args:
        runner (Runner): The runner.
        dataloader (DataLoader | dict): The loader of training data, or its config.
        *args: See :class:`mmengine.runner.IterBasedTrainLoop`.
        **kwargs: See :class:`mmengine.runner.IterBasedTrainLoop`.
    """

    OPTIONS = (
        'num_workers',
        'collate_fn',
        'pin_memory',
        'timeout',
        'worker_init_fn',
        'multiprocessing_context',
        'prefetch_factor',
    )

    def __init__(
        self, runner: Runner, dataloader: Union[DataLoader, dict], *args, **kwargs
    ) -> None:
        loader = dataloader
        if isinstance(loader, dict):
            different = runner._randomness_cfg.get('diff_rank_seed', False)
            loader = runner.build_dataloader(loader, runner.seed, different)
        # MMEngine 0.10.7 iterates over the loader at once. Workers would take from an endless
        # sampler what this loop is to load, and end the sampler when they are stopped.
        options = loader.num_workers, loader.timeout
        loader.num_workers, loader.timeout = 0, 0
        super().__init__(runner, loader, *args, **kwargs)
        loader.num_workers, loader.timeout = options
        # Whether the validation of the last iteration is behind a run that is resumed.
        self.validated = False

    def run(self) -> torch.nn.Module:
        """Train for all iterations that are left."""
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        self.dataloader_iterator = self._load_batches()
        if self._iter > 0 and not self.validated:
            self._validate()
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            self.run_iter(next(self.dataloader_iterator))
            self._validate()
        self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')
        return self.runner.model

    def run_iter(self, data_batch: Any) -> None:
        """Train on a batch."""
        set_random_seed(self.runner.seed + self._iter)
        super().run_iter(data_batch)

    def _load_batches(self) -> Iterator[Any]:
        loader, seed = self.dataloader, common_seed(self.runner)
        seed_samplers(loader, seed)
        batches = islice(seeded_batches(loader.batch_sampler, seed), self._iter, None)
        options = {name: getattr(loader, name) for name in self.OPTIONS}
        return iter(DataLoader(SeededDataset(loader.dataset), batch_sampler=batches, **options))

    def _validate(self) -> None:
        self._decide_current_val_interval()
        validate_if_due(self, self._iter, self._max_iters)
