"""Where the extra time of a network goes, by operator."""

from typing import Dict, Iterator, NamedTuple, Sequence

import numpy as np
from measurement import PASSES, Pair, Runner, Setting, Step, interleave, warm_up
from torch.autograd import DeviceType
from torch.autograd.profiler import profile, record_function

BETWEEN = 'Python, between operators'
LINE = '{extra:>10} {time:>9} {plain_time:>9} {calls:>7} {plain_calls:>7}  {name}'
TITLES = dict(extra='extra', time='ms', plain_time='plain', calls='calls', plain_calls='plain')


class Spent(NamedTuple):
    """Time of an operator in one pass, without the operators that it calls.

    Args:
        seconds (float): The time.
        calls (float): Number of calls.
    """

    seconds: float = 0.0
    calls: float = 0.0


def operator_times(step: Step, device: str = 'cpu') -> Dict[str, Spent]:
    """Time on the device of every operator that a function runs, by name."""
    on_cpu = device == 'cpu'
    with profile(use_device=None if on_cpu else device) as profiler, record_function(BETWEEN):
        step()
    key = 'self_cpu_time_total' if on_cpu else 'self_device_time_total'
    return {
        event.key: Spent(getattr(event, key) / 1e6, event.count)
        for event in profiler.key_averages()
        if event.device_type == DeviceType.CPU  # kernels count for the operators that start them
    }


def medians(rounds: Sequence[Dict[str, Spent]]) -> Dict[str, Spent]:
    """Medians over rounds, by operator."""
    names = {name for times in rounds for name in times}
    return {
        name: Spent(*np.median([times.get(name, Spent()) for times in rounds], axis=0).tolist())
        for name in names
    }


def total(times: Dict[str, Spent]) -> Spent:
    """All operators together."""
    return Spent(*(sum(entries) for entries in zip(*times.values())))


def difference_table(
    network: Dict[str, Spent], plain: Dict[str, Spent], rows: int = 12
) -> Iterator[str]:
    """Lines that say by which operators a network takes longer than the plain one.

    Args:
        network (Dict[str, Spent]): Times of the network.
        plain (Dict[str, Spent]): Times of the plain network.
        rows (int): Number of operators to name, those that differ most.
            Defaults to 12.
    """
    pairs = {name: (network.get(name, Spent()), plain.get(name, Spent())) for name in network}
    pairs |= {name: (Spent(), spent) for name, spent in plain.items() if name not in network}
    order = sorted(pairs, key=lambda name: -abs(pairs[name][0].seconds - pairs[name][1].seconds))
    pairs['all'] = total(network), total(plain)
    yield LINE.format(name='operator', **TITLES)
    for name in ('all', *order[:rows]):
        ours, theirs = pairs[name]
        yield LINE.format(
            name=name,
            extra=f'{(ours.seconds - theirs.seconds) / pairs["all"][1].seconds:+.2%}',
            time=f'{1e3 * ours.seconds:.2f}',
            plain_time=f'{1e3 * theirs.seconds:.2f}',
            calls=f'{ours.calls:.0f}',
            plain_calls=f'{theirs.calls:.0f}',
        )


def profile_pair(networks: Pair, setting: Setting, rounds: int) -> Iterator[str]:
    """Lines that say where the extra time of a network goes, for either pass.

    Args:
        networks (Tuple[nn.Module, nn.Module]): The network and the plain one.
        setting (Setting): How they are run.
        rounds (int): Number of rounds over which medians are taken.
    """
    runners = [Runner(network, setting) for network in networks]
    for name in PASSES:
        steps = [runner.select(name) for runner in runners]
        warm_up(steps, setting)
        times = interleave(steps, lambda step: operator_times(step, setting.device), rounds)
        yield f'{name}:'
        yield from difference_table(*map(medians, times))
