from .base import LayerInteraction
from .build import PLAIN, build_interaction, interaction_class, list_interactions
from .dynamic import DLALight
from .layer_attention import MRLALight
from .recurrent import DIALSTM
from .rla import RLA

__all__ = [
    'DIALSTM',
    'PLAIN',
    'RLA',
    'DLALight',
    'LayerInteraction',
    'MRLALight',
    'build_interaction',
    'interaction_class',
    'list_interactions',
]
