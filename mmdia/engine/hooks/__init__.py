from .compile import CompileBackboneHook
from .interruption import InterruptionHook

__all__ = ['CompileBackboneHook', 'InterruptionHook']
