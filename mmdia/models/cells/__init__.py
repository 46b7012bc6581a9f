from .base import RecurrentCell, State
from .dia import DIACell
from .dsu import DSUCell
from .lstm import LSTMCell

__all__ = ['DIACell', 'DSUCell', 'LSTMCell', 'RecurrentCell', 'State']
