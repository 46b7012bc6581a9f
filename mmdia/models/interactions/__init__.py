from .base import LayerInteraction
from .build import PLAIN, build_interaction, interaction_class, list_interactions
from .channel import AttentionInteraction, BlockAttention, SharedAttention
from .dynamic import DLABase, DLALight
from .full_attention import MRLABase
from .gated import GatedInteraction, PooledGate
from .layer_aggregation import LayerAggregation
from .layer_attention import LayerAttention
from .light_attention import MRLALight
from .recurrent import DIALSTM, LII, DIALSTMLight, RecurrentGate
from .rla import RLA

__all__ = [
    'DIALSTM',
    'LII',
    'PLAIN',
    'RLA',
    'AttentionInteraction',
    'BlockAttention',
    'DIALSTMLight',
    'DLABase',
    'DLALight',
    'GatedInteraction',
    'LayerAggregation',
    'LayerAttention',
    'LayerInteraction',
    'MRLABase',
    'MRLALight',
    'PooledGate',
    'RecurrentGate',
    'SharedAttention',
    'build_interaction',
    'interaction_class',
    'list_interactions',
]
