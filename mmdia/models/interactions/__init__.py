from .base import LayerInteraction
from .build import build_interaction, interaction_class, list_interactions
from .dynamic import DLALight
from .layer_attention import MRLALight
from .recurrent import DIALSTM
from .rla import RLA

__all__ = [
    'DIALSTM',
    'RLA',
    'DLALight',
    'LayerInteraction',
    'MRLALight',
    'build_interaction',
    'interaction_class',
    'list_interactions',
]
