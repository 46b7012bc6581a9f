from .base import LayerInteraction
from .build import PLAIN, build_interaction, interaction_class, list_interactions
from .dynamic import DLALight
from .gated import GatedInteraction
from .layer_attention import MRLALight
from .recurrent import DIALSTM, LII, DIALSTMLight, RecurrentGate
from .rla import RLA

__all__ = [
    'DIALSTM',
    'LII',
    'PLAIN',
    'RLA',
    'DIALSTMLight',
    'DLALight',
    'GatedInteraction',
    'LayerInteraction',
    'MRLALight',
    'RecurrentGate',
    'build_interaction',
    'interaction_class',
    'list_interactions',
]
