from mmdia.models.attentions import list_attentions
from mmdia.models.interactions import list_interactions

__all__ = ['list_attentions', 'list_interactions']
