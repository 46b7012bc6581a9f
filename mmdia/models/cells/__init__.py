from .base import RecurrentCell, State, record_state
from .build import build_cell
from .dia import DIACell
from .dsu import DSUCell
from .light import LightCell
from .lstm import LSTMCell
from .rnn import RNNCell
from .stacked import StackedCell

__all__ = [
    'DIACell',
    'DSUCell',
    'LSTMCell',
    'LightCell',
    'RNNCell',
    'RecurrentCell',
    'StackedCell',
    'State',
    'build_cell',
    'record_state',
]
