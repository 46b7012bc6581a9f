"""What the attention does, seen while it trains."""

from typing import Any, Dict, Optional, Sequence

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmengine.visualization.utils import img_from_canvas
from torch import Tensor

from mmdia.registry import HOOKS
from mmdia.utils import check_bool, check_int, check_type

PREFIX = 'attention'
SAMPLES = 64  # of which histograms are made


@HOOKS.register_module()
class AttentionHook(Hook):
    """Writes what blocks compute to all visualization backends during training.

    Every so many iterations, of the iteration's batch: the mean and the
    standard deviation of each value in each block, over samples, channels and
    positions, as scalars ``attention/<name>/<block>/mean`` and ``.../std``; and
    histograms. TensorBoard and Weights & Biases get histograms of their own
    kind, one per block; all others get one image for each value, blocks against
    values.

    Nothing else changes: see :class:`~mmdia.visualization.Recorder`. In a
    distributed training, the images are those of the first process.

    Args:
        interval (int): Number of iterations. Defaults to 100.
        names (Sequence[str], optional): What to look at; see
            :func:`mmdia.models.record`. Defaults to all that the method
            computes. ``'gradient'`` is that of the loss as it is propagated: in
            mixed precision on a GPU it has the factor of the loss scale.
        histograms (bool): Whether to write histograms. Defaults to True.

    Raises:
        TypeError: If an argument is of a wrong type.
        ValueError: If ``interval`` is not positive.
    """

    def __init__(
        self,
        interval: int = 100,
        names: Optional[Sequence[str]] = None,
        histograms: bool = True,
    ) -> None:
        check_int('interval', interval, maximum=2**31)
        check_type('names', names, list, tuple, type(None))
        check_bool('histograms', histograms)
        self.interval, self.names, self.histograms = interval, names, histograms
        self.recorder: Any = None

    def before_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Record, if it is an iteration to be looked at.

        Raises:
            ValueError: If the model has no blocks of this package.
        """
        from mmdia.visualization import Recorder  # draws, and so imports much

        if self.every_n_train_iters(runner, self.interval) and is_main_process():
            model = runner.model.module if is_model_wrapper(runner.model) else runner.model
            samples = SAMPLES if self.histograms else 0
            recorder = Recorder(getattr(model, 'backbone', model), self.names, samples)
            self.recorder = recorder.__enter__()

    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Write what was recorded."""
        if self.recorder is None:
            return
        self._close()
        step = runner.iter + 1
        scalars = {}
        for name in self.recorder.records:
            for block, record in self.recorder[name].items():
                mean, variance = record.mean, record.variance + record.mean.square()
                deviation = (variance.mean() - mean.mean().square()).clamp_min(0).sqrt()
                scalars[f'{PREFIX}/{name}/{block}/mean'] = mean.mean().item()
                scalars[f'{PREFIX}/{name}/{block}/std'] = deviation.item()
        if scalars:
            runner.visualizer.add_scalars(scalars, step=step)
        if self.histograms:
            for name in self.recorder.records:
                values = {b: r.values for b, r in self.recorder[name].items()}
                add_histograms(runner, name, values, step)
        self.recorder = None

    def after_train(self, runner: Runner) -> None:
        """Stop recording, also in an iteration that was not finished."""
        self._close()
        self.recorder = None

    def _close(self) -> None:
        if self.recorder is not None:
            self.recorder.__exit__()


def add_histograms(runner: Runner, name: str, values: Dict[str, Tensor], step: int) -> None:
    """Write histograms of the finite values to all backends.

    Args:
        runner (Runner): The runner.
        name (str): What the values are.
        values (Dict[str, Tensor]): The values of each block, of shape (n,).
        step (int): The iteration.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from mmdia.visualization.gates import plot_histograms

    finite = {block: numbers[numbers.isfinite()] for block, numbers in values.items()}
    finite = {block: numbers for block, numbers in finite.items() if len(numbers)}
    if not finite:
        return
    image = None
    for backend in runner.visualizer._vis_backends.values():
        experiment = backend.experiment
        if hasattr(experiment, 'add_histogram'):  # TensorBoard
            for block, numbers in finite.items():
                experiment.add_histogram(f'{PREFIX}/{name}/{block}', numbers, step)
        elif hasattr(experiment, 'Histogram'):  # Weights & Biases
            histograms = {
                f'{PREFIX}/{name}/{block}/histogram': experiment.Histogram(numbers.numpy())
                for block, numbers in finite.items()
            }
            backend.add_scalars(histograms, step=step)
        else:
            if image is None:
                image = img_from_canvas(FigureCanvasAgg(plot_histograms(name, finite)))
            backend.add_image(f'{PREFIX}_{name}', image, step=step)
