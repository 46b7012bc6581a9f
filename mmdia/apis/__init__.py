from mmdia.models.interactions import list_interactions

__all__ = ['list_interactions']
