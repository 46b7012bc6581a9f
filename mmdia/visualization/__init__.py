"""Pictures of what a network does and how it was trained."""

from .curves import plot_curves, read_scalars
from .gates import plot_gates, record_gates

__all__ = ['plot_curves', 'plot_gates', 'read_scalars', 'record_gates']
