from .base import Attention, ChannelAttention
from .build import build_attention, list_attentions
from .cbam import CBAM
from .eca import ECA
from .gc import GC
from .non_local import NonLocal
from .se import SE
from .sem import SEM
from .sge import SGE
from .spa import SPA
from .spem import SPEM
from .srm import SRM

__all__ = [
    'CBAM',
    'ECA',
    'GC',
    'SE',
    'SEM',
    'SGE',
    'SPA',
    'SPEM',
    'SRM',
    'Attention',
    'ChannelAttention',
    'NonLocal',
    'build_attention',
    'list_attentions',
]
