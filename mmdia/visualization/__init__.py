"""Pictures of what a network does and how it was trained."""

from .curves import plot_curves, read_scalars
from .gates import plot_gates
from .recorder import Record, Recorder

__all__ = ['Record', 'Recorder', 'plot_curves', 'plot_gates', 'read_scalars']
