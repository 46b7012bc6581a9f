from mmdia.models.attentions import list_attentions
from mmdia.models.interactions import list_interactions

from .models import get_model, list_models

__all__ = ['get_model', 'list_attentions', 'list_interactions', 'list_models']
