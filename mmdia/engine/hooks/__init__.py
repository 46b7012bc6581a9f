from .channels_last import ChannelsLastHook
from .checkpoint import DurableCheckpointHook
from .compile import CompileBackboneHook
from .interruption import InterruptionHook

__all__ = [
    'ChannelsLastHook',
    'CompileBackboneHook',
    'DurableCheckpointHook',
    'InterruptionHook',
]
