"""What the blocks of a network compute, recorded while it runs."""

from contextlib import ExitStack
from functools import partial
from threading import local
from typing import Dict, List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from mmdia.models.backbones.stage import Stage
from mmdia.models.utils import single_or_double
from mmdia.models.utils.recording import LISTENERS
from mmdia.utils import check_int, check_type
from mmdia.utils.validation import refuse

OUTPUT, GRADIENT = 'output', 'gradient'


class Record:
    """The values of one name in one block: some of them, and statistics of all.

    Args:
        max_samples (int): For how many samples to keep the values.

    Attributes:
        count (int): Number of samples seen.
        mean (Tensor): The mean over all samples, of maps also over their positions,
            in double precision. Not a number where sizes that are no positions of a
            map differ, as those of ``pair_weight`` with the size of the images.
    """

    def __init__(self, max_samples: int) -> None:
        self.max_samples = max_samples
        self.count = self.numbers = 0
        self._kept: List[Tensor] = []
        self.mean = self._sum_of_squares = torch.zeros((), dtype=torch.float64)

    @torch.no_grad()
    def add(self, value: Tensor) -> None:
        """Add the values of a batch.

        Args:
            value (Tensor): Values of shape (N, ...).
        """
        value = value.detach()
        missing = self.max_samples - sum(map(len, self._kept))
        if missing > 0:
            self._kept.append(value[:missing].to('cpu', single_or_double(value), copy=True))
        self.count += len(value)
        dims = (0, 2, 3) if value.dim() == 4 else (0,)
        numbers = value[:, 0].numel() if value.dim() == 4 else len(value)
        if not numbers:
            return
        variance, mean = torch.var_mean(value.to(single_or_double(value)), dims, correction=0)
        variance, mean = variance.cpu().double(), mean.cpu().double()
        if self.numbers and mean.shape != self.mean.shape:
            self.mean = self._sum_of_squares = torch.tensor(float('nan'), dtype=torch.float64)
            return
        # Chan et al., "Updating formulae and a pairwise algorithm for computing sample variances".
        total = self.numbers + numbers
        change = mean - self.mean
        self.mean = self.mean + change * (numbers / total)
        spread = change.square() * (self.numbers * numbers / total)
        self._sum_of_squares = self._sum_of_squares + variance * numbers + spread
        self.numbers = total

    @property
    def samples(self) -> Tensor:
        """Values of the first samples, (samples, ...), in single precision or better, on the CPU.

        Raises:
            ValueError: If they are maps of different sizes.
        """
        sizes = {tuple(value.shape[1:]) for value in self._kept}
        if len(sizes) > 1:
            raise ValueError(f'the recorded maps differ in size: {sorted(sizes)}')
        return torch.cat(self._kept)

    @property
    def values(self) -> Tensor:
        """All numbers of these samples side by side, also of maps that differ in size."""
        return torch.cat([value.flatten() for value in self._kept])

    @property
    def variance(self) -> Tensor:
        """The variance (divided by the number of values) over the same, in double precision."""
        return self._sum_of_squares / max(self.numbers, 1)


class Recorder:
    """Records what interactions and attentions compute in every block of a model.

    It records as long as it is entered, in evaluation and in training, any
    number of batches. It changes no result: it watches the inputs of blocks
    and ``stage.outputs``, which switches off none of the backward passes of
    :mod:`mmdia.models.ops`, and keeps copies without a graph. Where the
    backbone is compiled, it runs uncompiled meanwhile.

    Methods say what there is by :func:`mmdia.models.record`, which lists the
    names. A name that is recorded twice in a block gets a number: ``gate``,
    ``gate_2``. Two more names exist for all networks: ``output``, the output of
    a block, and ``gradient``, the gradient of the loss with respect to it.
    Those of a stage are those of its last block. Gates are what the formulas
    say; where a network started as the plain one (``identity_init``), the
    interaction's buffer ``gate_scale`` multiplies the branch as well.

    Args:
        model (nn.Module): A backbone of this package, or a model that has one.
        names (Sequence[str], optional): What to record. Defaults to all but
            ``output`` and ``gradient``.
        max_samples (int): For how many samples, the first ones, values are
            kept. Statistics are over all. Defaults to 1000.

    Raises:
        TypeError: If an argument is of a wrong type.
        ValueError: If the model has no blocks of this package.

    Example:
        >>> import torch
        >>> from mmdia.models import DIAResNet
        >>> from mmdia.visualization import Recorder
        >>> model = DIAResNet(18).eval()
        >>> with Recorder(model, ['gate']) as recorder, torch.no_grad():
        ...     _ = model(torch.rand(2, 3, 64, 64))
        >>> gates = recorder['gate']
        >>> list(gates)[:3]
        ['layer1.0', 'layer1.1', 'layer2.0']
        >>> tuple(gates['layer4.1'].samples.shape), tuple(gates['layer4.1'].mean.shape)
        ((2, 512), (512,))
    """

    def __init__(
        self, model: nn.Module, names: Optional[Sequence[str]] = None, max_samples: int = 1000
    ) -> None:
        check_type('model', model, nn.Module)
        check_type('names', names, list, tuple, set, type(None))
        check_int('max_samples', max_samples, minimum=0, maximum=2**31)
        self.stages: Dict[str, Stage] = {
            name: module for name, module in model.named_modules() if isinstance(module, Stage)
        }
        if not self.stages:
            refuse(ValueError, 'model', 'one with residual blocks of mmdia', type(model).__name__)
        self.names = None if names is None else frozenset(names)
        self.max_samples = max_samples
        self.records: Dict[str, Dict[str, Record]] = {}
        self._place = local()  # the block that this thread is in, and what it has recorded there
        self._hooks = ExitStack()

    @property
    def blocks(self) -> List[str]:
        """Names of all blocks in their order, such as ``'layer1.0'``."""
        return [f'{name}.{i}' for name, stage in self.stages.items() for i in range(len(stage))]

    def __getitem__(self, name: str) -> Dict[str, Record]:
        """The records of a name, by the names of the blocks that have it.

        Raises:
            KeyError: If nothing of this name was recorded.
        """
        if name not in self.records:
            known = ', '.join(self.records) or 'nothing'
            raise KeyError(f'no block recorded {name!r}; recorded: {known}')
        records = self.records[name]
        return {block: records[block] for block in self.blocks if block in records}

    def by_stage(self, name: str) -> Dict[str, List[Record]]:
        """The records of a name, a list for each stage that has any."""
        stages: Dict[str, List[Record]] = {}
        for block, record in self[name].items():
            stages.setdefault(block.rpartition('.')[0], []).append(record)
        return stages

    def __enter__(self) -> 'Recorder':
        with ExitStack() as stack:
            for name, stage in self.stages.items():
                for i, (block, output) in enumerate(zip(stage, stage.outputs)):
                    enter = partial(self._enter_block, f'{name}.{i}')
                    stack.callback(block.register_forward_pre_hook(enter).remove)
                    leave = partial(self._leave_block, f'{name}.{i}')
                    stack.callback(output.register_forward_hook(leave).remove)
            if hasattr(torch.compiler, 'set_stance'):  # not in old PyTorch
                stack.enter_context(torch.compiler.set_stance('force_eager'))
            stack.callback(LISTENERS.remove, self._listen)
            LISTENERS.append(self._listen)
            self._hooks = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._hooks.close()
        self._place = local()

    def _enter_block(self, name: str, block: nn.Module, inputs: Tuple) -> None:
        # Not where a checkpoint computes it again, in a backward pass.
        if torch._C._current_graph_task_id() == -1:
            self._place.block, self._place.seen = name, {}

    def _listen(self, name: str, value: Tensor, dim: int) -> None:
        block = getattr(self._place, 'block', None)
        if block is None:  # another model, or a block that is computed again in a backward pass
            return
        seen = self._place.seen
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            name = f'{name}_{seen[name]}'
        if self.names is None or name in self.names:
            self._add(name, block, value.movedim(dim, 0))

    def _leave_block(self, name: str, module: nn.Module, inputs: Tuple, output: Tensor) -> None:
        block, self._place.block = getattr(self._place, 'block', None), None
        if self.names is None:
            return
        if OUTPUT in self.names and block is not None:
            self._add(OUTPUT, name, output)
        if GRADIENT in self.names and output.requires_grad:
            output.register_hook(partial(self._add, GRADIENT, name))

    def _add(self, name: str, block: str, value: Tensor) -> None:
        records = self.records.setdefault(name, {})
        if block not in records:
            records[block] = Record(self.max_samples)
        records[block].add(value)
