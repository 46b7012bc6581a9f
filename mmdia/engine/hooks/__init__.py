from .checkpoint import DurableCheckpointHook
from .compile import CompileBackboneHook
from .interruption import InterruptionHook

__all__ = ['CompileBackboneHook', 'DurableCheckpointHook', 'InterruptionHook']
