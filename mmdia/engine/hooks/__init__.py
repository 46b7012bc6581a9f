from .attention import AttentionHook
from .channels_last import ChannelsLastHook
from .checkpoint import DurableCheckpointHook
from .compile import CompileBackboneHook
from .heads import SinglePrecisionHeadsHook
from .interruption import InterruptionHook

__all__ = [
    'AttentionHook',
    'ChannelsLastHook',
    'CompileBackboneHook',
    'DurableCheckpointHook',
    'InterruptionHook',
    'SinglePrecisionHeadsHook',
]
