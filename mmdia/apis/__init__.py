from contextlib import suppress

from mmdia.hub import add_to_inferencers, add_to_mmpretrain
from mmdia.models.attachment import attach, detach
from mmdia.models.attentions import list_attentions
from mmdia.models.interactions import list_interactions

from .models import get_model, list_models

__all__ = [
    'attach',
    'detach',
    'get_model',
    'list_attentions',
    'list_interactions',
    'list_models',
]

add_to_inferencers()
with suppress(ImportError, AssertionError):  # it is not installed, or refuses this MMCV
    add_to_mmpretrain()
