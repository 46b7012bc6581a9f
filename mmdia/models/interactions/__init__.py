from .base import LayerInteraction
from .build import PLAIN, build_interaction, interaction_class, list_interactions
from .dynamic import DLALight
from .gated import GatedInteraction
from .layer_attention import MRLALight
from .recurrent import DIALSTM
from .rla import RLA

__all__ = [
    'DIALSTM',
    'PLAIN',
    'RLA',
    'DLALight',
    'GatedInteraction',
    'LayerInteraction',
    'MRLALight',
    'build_interaction',
    'interaction_class',
    'list_interactions',
]
