"""Time, memory and operators of a network beside those of the plain one."""

import ctypes
import os
import sys
import time
from itertools import accumulate
from timeit import timeit
from typing import Any, Callable, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np
import torch
from torch import nn
from torch.autograd import DeviceType
from torch.autograd.profiler import profile
from torch.utils._python_dispatch import TorchDispatchMode

os.environ.setdefault('KINETO_LOG_LEVEL', '5')  # the profiler is silent where there is no GPU

PASSES = dict(forward=1 / 3, forward_backward=2 / 3)  # with their shares of the time
Step = Callable[[], None]
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # of mallopt
Pair = Tuple[nn.Module, nn.Module]  # a network and the plain one


class Setting(NamedTuple):
    """How networks are run.

    Args:
        batch_size (int): Number of images.
        image_size (int): Their height and width.
        dtype (str): ``'float32'``, ``'float64'``, or ``'float16'`` or
            ``'bfloat16'`` for automatic mixed precision. Defaults to
            ``'float32'``.
        channels_last (bool): Whether channels are innermost in memory.
            Defaults to False.
        compile (bool): Whether networks are compiled. Defaults to False.
        device (str): ``'cpu'`` or ``'cuda'``. Defaults to ``'cpu'``.
        threads (int): Number of threads on the CPU. Defaults to 1.
    """

    batch_size: int
    image_size: int
    dtype: str = 'float32'
    channels_last: bool = False
    compile: bool = False
    device: str = 'cpu'
    threads: int = 1


class Comparison(NamedTuple):
    """A measure of a network and of the plain one.

    Args:
        value (float): Median of the network.
        plain (float): Median of the plain network.
        ratio (float): Median over the rounds of the ratio within a round.
        low (float): First quartile of these ratios.
        high (float): Third quartile of these ratios.
        rounds (int): Number of rounds.
    """

    value: float
    plain: float
    ratio: float
    low: float
    high: float
    rounds: int


class Runner:
    """Runs a network forward, or forward and backward.

    Args:
        network (nn.Module): A backbone; it is moved to the device.
        setting (Setting): How it is run.
    """

    def __init__(self, network: nn.Module, setting: Setting) -> None:
        layout = torch.channels_last if setting.channels_last else torch.contiguous_format
        dtype = torch.float64 if setting.dtype == 'float64' else torch.float32
        size = (setting.batch_size, 3, setting.image_size, setting.image_size)
        self.setting = setting
        self.network = network.to(setting.device, dtype, memory_format=layout)
        self.call = torch.compile(network) if setting.compile else network
        images = torch.rand(size, dtype=dtype, device=setting.device)
        self.images = images.to(memory_format=layout)

    def precision(self) -> torch.autocast:
        """The context of mixed precision, where that is asked for."""
        mixed = self.setting.dtype in ('float16', 'bfloat16')
        dtype = getattr(torch, self.setting.dtype) if mixed else None
        return torch.autocast(self.setting.device, dtype, enabled=mixed)

    def forward(self) -> None:
        """Compute the feature maps, without gradients."""
        with torch.no_grad(), self.precision():
            self.call(self.images)

    def forward_backward(self) -> None:
        """Compute the gradients of the sum of the feature maps' means."""
        self.network.zero_grad()
        with self.precision():
            loss = sum(level.mean() for level in self.call(self.images))
        loss.backward()

    def select(self, name: str) -> Step:
        """One of ``PASSES``, with the network in evaluation or training mode for it."""
        self.network.train(name == 'forward_backward')
        return getattr(self, name)


def keep_freed_memory() -> None:
    """Let glibc keep what is freed, as the allocators do that PyTorch recommends for CPUs.

    Otherwise the time of the kernel for returning pages and zeroing new ones
    adds to that of some passes and not to that of others.
    """
    if sys.platform != 'linux':
        return
    set_option = getattr(ctypes.CDLL(None), 'mallopt', None)
    if set_option is not None:
        for option in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_TOP_PAD):
            set_option(option, 2**30)


class OperatorCounter(TorchDispatchMode):
    """Counts the ATen operators that run while it is active."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Count an operator and run it."""
        self.count += 1
        return func(*args, **(kwargs or {}))


def count_operators(step: Step) -> int:
    """Count the ATen operators that a function runs."""
    with OperatorCounter() as counter:
        step()
    return counter.count


def cpu_peak(step: Step) -> int:
    """The most bytes that a function holds at a time, of those that it allocates itself."""
    with profile(profile_memory=True) as profiler:
        step()
    events = [
        event
        for event in profiler.kineto_results.events()
        if event.name() == '[memory]' and event.device_type() == DeviceType.CPU
    ]
    events.sort(key=lambda event: event.start_ns())
    return max(accumulate((event.nbytes() for event in events), initial=0))


def cuda_peak(step: Step) -> int:
    """What :func:`cpu_peak` says, on a GPU."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def peak_memory(runner: Runner) -> int:
    """Bytes of parameters and buffers, and the most that forward and backward add to them."""
    step = runner.select('forward_backward')
    runner.network.zero_grad()
    added = cuda_peak(step) if runner.setting.device == 'cuda' else cpu_peak(step)
    tensors = [*runner.network.parameters(), *runner.network.buffers()]
    return added + sum(tensor.nbytes for tensor in tensors)


def cuda_seconds(step: Step) -> float:
    """Seconds that a function takes on a GPU."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    step()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1000


def choose_timer(setting: Setting) -> Callable[[Step], float]:
    """What measures the time of a function; the process's where that means something."""
    if setting.device == 'cuda':
        return cuda_seconds
    clock = time.process_time if setting.threads == 1 else time.perf_counter
    return lambda step: timeit(step, timer=clock, number=1)


def interleave(
    steps: Sequence[Step],
    measure: Callable[[Step], Any],
    rounds: int,
    seconds: float = 0,
    now: Callable[[], float] = time.monotonic,
) -> Tuple[List[Any], List[Any]]:
    """Measure two functions in turns, A B B A, so that a drift of the machine cancels.

    Args:
        steps (Sequence[Callable]): The two functions.
        measure (Callable): Measures one call of a function.
        rounds (int): Number of rounds, at least; an even number is run.
        seconds (float): More rounds begin until then. Defaults to 0.
        now (Callable): Clock of ``seconds``. Defaults to the wall's.

    Returns:
        Tuple[list, list]: The measurements of either function, a round an entry.
    """
    values = [], []
    start = now()
    while len(values[0]) < rounds or now() - start < seconds:
        for i in (0, 1, 1, 0):
            values[i].append(measure(steps[i]))
    return values


def summarize(values: Sequence[float], plain: Sequence[float]) -> Comparison:
    """Medians of the measurements of two networks, and quartiles of their ratios."""
    low, ratio, high = np.quantile(np.divide(values, plain), (0.25, 0.5, 0.75)).tolist()
    medians = (float(np.median(entries)) for entries in (values, plain))
    return Comparison(*medians, ratio, low, high, len(values))


def warm_up(steps: Sequence[Step], setting: Setting) -> None:
    """Run functions until they are compiled, and a GPU has chosen its algorithms."""
    for _ in range(3 if setting.compile or setting.device == 'cuda' else 1):
        for step in steps:
            step()


def compare(networks: Pair, setting: Setting, rounds: int, seconds: float) -> Dict[str, Comparison]:
    """Take all measures of a network and of the plain one.

    Args:
        networks (Tuple[nn.Module, nn.Module]): The network and the plain one.
        setting (Setting): How they are run.
        rounds (int): Number of rounds of either pass, at least.
        seconds (float): Time for the rounds of both passes, if that is more.

    Returns:
        Dict[str, Comparison]: The measures: time in seconds of either pass by
        its name, ``'memory'`` in bytes, ``'operators_<pass>'``.
    """
    results = {}
    eager = [Runner(network, setting._replace(compile=False)) for network in networks]
    runners = [Runner(network, setting) for network in networks] if setting.compile else eager
    for name, share in PASSES.items():
        counts = [count_operators(runner.select(name)) for runner in eager]
        results[f'operators_{name}'] = summarize(counts[:1], counts[1:])
        steps = [runner.select(name) for runner in runners]
        warm_up(steps, setting)
        times = interleave(steps, choose_timer(setting), rounds, share * seconds)
        results[name] = summarize(*times)
    memory = [peak_memory(runner) for runner in runners]
    results['memory'] = summarize(memory[:1], memory[1:])
    return results
