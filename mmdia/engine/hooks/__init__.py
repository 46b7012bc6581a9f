from .interruption import InterruptionHook

__all__ = ['InterruptionHook']
